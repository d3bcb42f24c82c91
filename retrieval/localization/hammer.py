"""A learned localizer: HAMMER (2011.09046) over the rows of a space.

Each item of the first stage is read together with the query; spans are ranked by
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
from torch.nn.utils.rnn import pad_sequence

from retrieval.encoders.batching import choose_device
from retrieval.encoders.tokens import clean_texts
from retrieval.localization.hammer_files import load_hammer
from retrieval.localization.hammer_model import (
    BEGIN,
    END,
    Hammer,
    HammerConfig,
    frame_log_probabilities,
)
from retrieval.localization.spans import suppress_overlaps
from retrieval.types import Medium, MomentQuery, ScoredSpan, Space, TimedRows

CPU_ITEMS, GPU_ITEMS = 10, 100
"""Maximum number of items to read; reading depends on the query and cannot be precomputed."""

WINDOW_BATCH = {"cpu": 16, "cuda": 256}
MAX_SPANS = 10
MAX_BORDERS = 64
"""Most probable begins and ends of an item that are paired; other pairs are negligible."""


@dataclass(frozen=True, slots=True)
class RowWindow:
    """Rows first … last - 1 of one item."""

    item: int
    first: int
    last: int


@dataclass(slots=True)
class ItemPrediction:
    """The match logit of an item and the label log-probabilities of its rows, (rows, 3).

    Where windows overlap, labels are taken from the window in which a row is further from the
    edges, since context is missing there. `depth` (rows,) is that distance.
    """

    match: float
    labels: NDArray[np.float32]
    depth: NDArray[np.int64]

    @classmethod
    def empty(cls, rows: int) -> ItemPrediction:
        """Create the prediction of an item without any window."""
        return cls(-np.inf, np.zeros((rows, 3), np.float32), np.full(rows, -1))

    def add(self, window: RowWindow, match: float, labels: NDArray[np.float32]) -> None:
        """Add the output for one window; `labels` (rows, 3) may be padded."""
        rows = np.arange(window.first, window.last)
        depth = np.minimum(rows - window.first, window.last - 1 - rows)
        deeper = depth > self.depth[rows]
        self.labels[rows[deeper]] = labels[: len(rows)][deeper]
        self.depth[rows[deeper]] = depth[deeper]
        self.match = max(self.match, match)


class HammerLocalizer:
    """Implements `retrieval.protocols.Localizer` with a trained Hammer.

    Args:
        model: In evaluation mode.
        config: Its sizes, and the space it reads.
        tokenizer: Tokenizer of the queries.
        device: Device to run on.
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
        """Load a trained Hammer from its folder.

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
        """True for videos; sound has no frames, and its segments are read."""
        return self.config.medium is Medium.VIDEO

    @property
    def gives_probabilities(self) -> bool:
        """True: scores rank spans among the items of one call."""
        return True

    @property
    def likely_score(self) -> float:
        """Score that few queries without a match reach, measured in training."""
        return self.config.likely_score

    def can_answer(self, query: MomentQuery, space: Space, medium: Medium) -> bool:
        """Whether the query is a text, and the rows belong to the trained space and medium."""
        trained = (self.config.space_digest, self.config.medium)
        return query.text is not None and (space.digest, medium) == trained

    def localize(self, query: MomentQuery, items: Sequence[TimedRows]) -> list[list[ScoredSpan]]:
        """Return spans scored by p(video | query) · p(span | video, query), each in 0 … 1.

        The first is a softmax over the items and the answer that no item matches, the second over
        all pairs of a begin and an end that follows it.
        """
        predictions = self.predict(query, items)
        probabilities = match_probabilities(
            np.array([prediction.match for prediction in predictions]), self.config.no_match
        )
        return [
            rank_spans(prediction.labels, item, float(probability))
            for prediction, item, probability in zip(predictions, items, probabilities, strict=True)
        ]

    @torch.inference_mode()
    def predict(self, query: MomentQuery, items: Sequence[TimedRows]) -> list[ItemPrediction]:
        """Read all items with a text query; windows of several items share a batch."""
        assert query.text is not None  # Checked by `can_answer`.
        ids = self._tokenizer.encode(clean_texts([query.text])[0]).ids
        sentence = torch.from_numpy(query.vector)[None].to(self._device)
        tokens = torch.tensor([ids], dtype=torch.int64, device=self._device)
        predictions = [ItemPrediction.empty(len(item.vectors)) for item in items]
        for batch in self._batches(items):
            rows, mask = self._pad(batch, items)
            n = len(batch)
            output = self._model(rows, mask, sentence.expand(n, -1), tokens.expand(n, -1))
            matches = output.match.float().cpu().numpy()
            labels = frame_log_probabilities(output.labels, self.config.label_frames).cpu().numpy()
            for window, match, window_labels in zip(batch, matches, labels, strict=True):
                predictions[window.item].add(window, float(match), window_labels)
        return predictions

    def _batches(self, items: Sequence[TimedRows]) -> Iterator[list[RowWindow]]:
        """Yield all windows in batches, longest first to minimise padding."""
        windows = [
            window
            for number, item in enumerate(items)
            for window in split_into_windows(number, len(item.vectors), self.config.window_rows)
        ]
        windows.sort(key=lambda window: window.first - window.last)
        size = WINDOW_BATCH.get(self._device.type, WINDOW_BATCH["cpu"])
        for first in range(0, len(windows), size):
            yield windows[first : first + size]

    def _pad(
        self, windows: list[RowWindow], items: Sequence[TimedRows]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        vectors = [items[window.item].vectors[window.first : window.last] for window in windows]
        rows = pad_sequence(
            [torch.tensor(rows, dtype=torch.float32) for rows in vectors], batch_first=True
        )
        lengths = torch.tensor([len(rows) for rows in vectors])
        mask = torch.arange(rows.shape[1]) < lengths[:, None]
        return rows.to(self._device), mask.to(self._device)


def match_probabilities(
    matches: NDArray[np.floating], no_match: float | None
) -> NDArray[np.float64]:
    """Return p(video | query) of each item, (n,); with `no_match` the sum is below 1.

    Args:
        matches: (n,) logits; -inf for an item without rows.
        no_match: Logit of the answer that no item matches; None excludes that answer.
    """
    logits = np.append(matches.astype(np.float64), -np.inf if no_match is None else no_match)
    if not np.isfinite(logits).any():
        return np.zeros(len(matches))
    return _softmax(logits)[:-1]


def split_into_windows(item: int, rows: int, window_rows: int) -> Iterator[RowWindow]:
    """Yield windows of an item that overlap by half; the last one ends with the item."""
    first = 0
    while first + window_rows < rows:
        yield RowWindow(item, first, first + window_rows)
        first += max(1, window_rows // 2)
    if rows:
        yield RowWindow(item, max(0, rows - window_rows), rows)


def rank_spans(labels: NDArray[np.float32], item: TimedRows, video: float) -> list[ScoredSpan]:
    """Pair begins with ends and return the best pairs that do not overlap.

    Args:
        labels: (n, 3) log-probabilities of OTHER, BEGIN and END.
        item: The n rows.
        video: p(video | query), a factor of each span's probability.
    """
    if not len(labels):
        return []
    begins = _most_probable(labels[:, BEGIN])
    ends = _most_probable(labels[:, END])
    pairs = labels[begins, BEGIN][:, None] + labels[ends, END]
    pairs = np.where(begins[:, None] <= ends, pairs, -np.inf)
    if not np.isfinite(pairs).any():
        # All probable ends precede all probable begins: return the whole item.
        return [(float(item.start_seconds[0]), float(item.end_seconds[-1]), video)]
    scores = video * _softmax(pairs)
    order = np.argsort(-scores, axis=None)[: 8 * MAX_BORDERS]
    return suppress_overlaps(
        [
            (
                float(item.start_seconds[begins[position // len(ends)]]),
                float(item.end_seconds[ends[position % len(ends)]]),
                float(scores.flat[position]),
            )
            for position in order.tolist()
            if scores.flat[position] > 0
        ],
        limit=MAX_SPANS,
    )


def _most_probable(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.sort(np.argsort(-scores, kind="stable")[:MAX_BORDERS])


def _softmax(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    shifted = np.exp(scores.astype(np.float64) - np.max(scores))
    probabilities: NDArray[np.float64] = shifted / shifted.sum()
    return probabilities
