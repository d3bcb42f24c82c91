"""The learned localizer: HAMMER (2011.09046) over the rows of a space.

The first stage names some videos; this stage reads each together with the query and ranks spans by
p(video | query) · p(span | video, query).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.encoders.batching import choose_device
from retrieval.encoders.tokens import clean_texts
from retrieval.localization.hammer_files import load_hammer
from retrieval.localization.hammer_model import BEGIN, END, Hammer, HammerConfig, frame_labels
from retrieval.localization.spans import without_overlaps
from retrieval.types import Medium, MomentQuery, ScoredSpan, Space, TimedRows

CPU_ITEMS, GPU_ITEMS = 10, 100
"""Items of the first stage that are read with the query: it cannot be done ahead of time."""

WINDOW_BATCH = {"cpu": 16, "cuda": 256}
MAX_SPANS = 10
BORDERS_KEPT = 64
"""Likeliest begins and ends of an item that are paired; the others' products are negligible."""


@dataclass(frozen=True, slots=True)
class Window:
    """Rows first … last of one item."""

    item: int
    first: int
    last: int


@dataclass(slots=True)
class Reading:
    """What is known of one item: its match, and by row the log-probabilities of its labels.

    Where windows overlap, a row's labels come from the window in which it lies deepest: at the
    edges of a window half of the context is missing.
    """

    match: float
    labels: NDArray[np.float32]
    depth: NDArray[np.int64]

    @classmethod
    def empty(cls, rows: int) -> Reading:
        """Before any window was read."""
        return cls(-np.inf, np.zeros((rows, 3), np.float32), np.full(rows, -1))

    def add(self, window: Window, match: float, labels: NDArray[np.float32]) -> None:
        """Take what one window says; `labels` (rows, 3) may be padded."""
        rows = np.arange(window.first, window.last)
        depth = np.minimum(rows - window.first, window.last - 1 - rows)
        deeper = depth > self.depth[rows]
        self.labels[rows[deeper]] = labels[: len(rows)][deeper]
        self.depth[rows[deeper]] = depth[deeper]
        self.match = max(self.match, match)


class HammerLocalizer:
    """Implements retrieval.protocols.Localizer with a trained Hammer.

    Args:
        model: In evaluation mode.
        config: Its sizes, and the space it reads.
        tokenizer: Of its queries.
        device: Where it runs.
    """

    def __init__(
        self, model: Hammer, config: HammerConfig, tokenizer: Any, device: torch.device
    ) -> None:
        self.config = config
        self._model = model.to(device)
        self._tokenizer = tokenizer
        self._device = device

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "auto") -> HammerLocalizer:
        """Load a folder that `retrieval train hammer` wrote.

        Raises:
            WeightsNotAvailableError: The folder or one of its files is missing.
            WeightsFormatError: The weights are a pickle, damaged, or of another architecture.
        """
        return cls(*load_hammer(Path(folder)), choose_device(device))

    @property
    def max_items(self) -> int:
        """Ten on a CPU, a hundred on a GPU, as in the paper."""
        return GPU_ITEMS if self._device.type == "cuda" else CPU_ITEMS

    @property
    def reads_frames(self) -> bool:
        """Frames of videos; of sound, which has none, segments."""
        return self.config.medium is Medium.VIDEO

    @property
    def gives_probabilities(self) -> bool:
        """Its scores rank spans among the items of one call."""
        return True

    @property
    def likely_score(self) -> float:
        """What few queries without a match reach; measured in training."""
        return self.config.likely_score

    def can_answer(self, query: MomentQuery, space: Space, medium: Medium) -> bool:
        """Texts only, and in the space it was trained on."""
        wanted = (self.config.space_digest, self.config.medium)
        return query.text is not None and (space.digest, medium) == wanted

    def localize(self, query: MomentQuery, items: Sequence[TimedRows]) -> list[list[ScoredSpan]]:
        """Spans with p(video | query) · p(span | video, query), each in 0 … 1.

        The first is a softmax over the items given and the answer that none of them matches, the
        second over the pairs of a begin and an end that follows it.
        """
        readings = self.read(query, items)
        videos = chances_of_match(
            np.array([reading.match for reading in readings]), self.config.no_match
        )
        return [
            spans_of(reading.labels, item, float(video))
            for reading, item, video in zip(readings, items, videos, strict=True)
        ]

    @torch.inference_mode()
    def read(self, query: MomentQuery, items: Sequence[TimedRows]) -> list[Reading]:
        """Read every item with the query, windows of several items in one batch."""
        assert query.text is not None  # `can_answer` lets no other through
        ids = self._tokenizer.encode(clean_texts([query.text])[0]).ids
        sentence = torch.from_numpy(query.vector)[None].to(self._device)
        tokens = torch.tensor([ids], dtype=torch.int64, device=self._device)
        readings = [Reading.empty(len(item.vectors)) for item in items]
        for batch in self._batches(items):
            rows, real = self._padded(batch, items)
            n = len(batch)
            read = self._model(rows, real, sentence.expand(n, -1), tokens.expand(n, -1))
            matches = read.match.float().cpu().numpy()
            labels = frame_labels(read.labels, self.config.label_frames).cpu().numpy()
            for window, match, rows_labels in zip(batch, matches, labels, strict=True):
                readings[window.item].add(window, float(match), rows_labels)
        return readings

    def _batches(self, items: Sequence[TimedRows]) -> Iterator[list[Window]]:
        """All windows, longest first, so that little of a batch is padding."""
        windows = [
            window
            for number, item in enumerate(items)
            for window in windows_of(number, len(item.vectors), self.config.window_rows)
        ]
        windows.sort(key=lambda window: window.first - window.last)
        size = WINDOW_BATCH.get(self._device.type, WINDOW_BATCH["cpu"])
        for first in range(0, len(windows), size):
            yield windows[first : first + size]

    def _padded(
        self, windows: list[Window], items: Sequence[TimedRows]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        longest = windows[0].last - windows[0].first
        rows = np.zeros((len(windows), longest, self.config.dim), np.float32)
        real = np.zeros((len(windows), longest), np.bool_)
        for number, window in enumerate(windows):
            length = window.last - window.first
            rows[number, :length] = items[window.item].vectors[window.first : window.last]
            real[number, :length] = True
        return (
            torch.from_numpy(rows).to(self._device),
            torch.from_numpy(real).to(self._device),
        )


def chances_of_match(matches: NDArray[np.floating], no_match: float | None) -> NDArray[np.float64]:
    """p(video | query) of each item, (n,): with `no_match` they add up to less than 1.

    Args:
        matches: (n,) logits; -inf for an item without rows.
        no_match: Logit of the answer that none of them matches; None: one of them does.
    """
    logits = np.append(matches.astype(np.float64), -np.inf if no_match is None else no_match)
    if not np.isfinite(logits).any():
        return np.zeros(len(matches))
    return _softmax(logits)[:-1]


def windows_of(item: int, rows: int, window_rows: int) -> Iterator[Window]:
    """Cut an item into windows that overlap by half; the last one ends where the item does."""
    first = 0
    while first + window_rows < rows:
        yield Window(item, first, first + window_rows)
        first += max(1, window_rows // 2)
    if rows:
        yield Window(item, max(0, rows - window_rows), rows)


def spans_of(labels: NDArray[np.float32], item: TimedRows, video: float) -> list[ScoredSpan]:
    """Pair begins with ends and keep the best pairs that do not overlap.

    Args:
        labels: (n, 3) log-probabilities of OTHER, BEGIN and END.
        item: The rows they belong to.
        video: p(video | query), which multiplies every span's probability.
    """
    if not len(labels):
        return []
    begins = _likeliest(labels[:, BEGIN])
    ends = _likeliest(labels[:, END])
    pairs = labels[begins, BEGIN][:, None] + labels[ends, END]
    pairs = np.where(begins[:, None] <= ends, pairs, -np.inf)
    if not np.isfinite(pairs).any():
        # Every likely end lies before every likely begin: all rows are one span then.
        return [(float(item.start_seconds[0]), float(item.end_seconds[-1]), video)]
    chances = video * _softmax(pairs)
    order = np.argsort(-chances, axis=None)[: 8 * BORDERS_KEPT]
    return without_overlaps(
        [
            (
                float(item.start_seconds[begins[place // len(ends)]]),
                float(item.end_seconds[ends[place % len(ends)]]),
                float(chances.flat[place]),
            )
            for place in order.tolist()
            if chances.flat[place] > 0
        ],
        limit=MAX_SPANS,
    )


def _likeliest(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.sort(np.argsort(-scores, kind="stable")[:BORDERS_KEPT])


def _softmax(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    shifted = np.exp(scores.astype(np.float64) - np.max(scores))
    chances: NDArray[np.float64] = shifted / shifted.sum()
    return chances
