"""Decoded media of a manifest's clips, ready for a tower: read ahead in threads, kept in memory.

Pillow, libsndfile and soxr release the interpreter while they decode, so threads suffice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol, TypeVar

import av.error
import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.pooling import unit_rows
from retrieval.errors import DamagedMediaError, MediaError
from retrieval.media.audio.reader import open_sound
from retrieval.media.audio.windows import cut_windows
from retrieval.media.images.fitting import fit
from retrieval.media.images.reading import read_image
from retrieval.training.pairs.manifest import BadRow, CaptionedClip, Clip
from retrieval.types import AudioWindows, ImageGeometry

KEPT_BYTES = 1 << 30
"""Decoded clips that stay in memory; the rest is decoded each time it is needed."""

MAX_SOUND_SECONDS = 600.0
"""Of a longer recording, or of a longer span, the first ten minutes are heard."""

VALIDATION_WINDOWS = 8
"""Windows of one clip whose mean stands for it in validation, evenly spaced."""

AHEAD = 2
"""Clips that each thread may be ahead of their use."""

_BAD_MEDIA = (MediaError, OSError, av.error.FFmpegError, MemoryError)

Sample = NDArray[Any]
T = TypeVar("T")


class ClipReader(Protocol):
    """Decodes clips for one kind of tower."""

    def read(self, clip: Clip) -> Sample:
        """Decode a clip; what is kept in memory."""
        ...

    def draw(self, decoded: Sample, rng: np.random.Generator) -> Sample:
        """One training sample of it."""
        ...

    def views(self, decoded: Sample) -> list[Sample]:
        """What the mean vector is taken over that stands for it, as long as each is."""
        ...

    def fill(self, view: Sample) -> Sample:
        """A view in the size of a training sample."""
        ...


@dataclass(frozen=True, slots=True)
class PictureReader:
    """Pictures as a model's own preprocessing fits them: (height, width, 3) uint8."""

    geometry: ImageGeometry

    def read(self, clip: Clip) -> Sample:
        """Decode and fit a picture."""
        if clip.start_seconds or clip.end_seconds is not None:
            raise DamagedMediaError("a picture has no start and end; leave them empty")
        side = max(self.geometry.height, self.geometry.width)
        return fit(read_image(clip.path, draft_side=2 * side), self.geometry)

    def draw(self, decoded: Sample, rng: np.random.Generator) -> Sample:
        """The picture itself."""
        return decoded

    def views(self, decoded: Sample) -> list[Sample]:
        """The picture alone."""
        return [decoded]

    def fill(self, view: Sample) -> Sample:
        """The picture itself."""
        return view


@dataclass(frozen=True, slots=True)
class RecordingReader:
    """Spans of recordings at a model's rate, and the windows that it hears of them.

    A span shorter than a window is repeated until it fills it.
    """

    windows: AudioWindows

    def read(self, clip: Clip) -> Sample:
        """(samples,) float32 mono of the clip's span."""
        rate = self.windows.sample_rate_hz
        wanted = MAX_SOUND_SECONDS
        if clip.end_seconds is not None:
            wanted = min(wanted, clip.end_seconds - clip.start_seconds)
        first, count = round(clip.start_seconds * rate), max(1, round(wanted * rate))
        parts: list[Sample] = []
        passed = 0
        with open_sound(clip.path) as sound:
            for block in sound.mono(rate):
                parts.append(block[max(0, first - passed) : first + count - passed])
                passed += len(block)
                if passed >= first + count:
                    break
        span = np.concatenate(parts) if parts else np.empty(0, np.float32)
        if not len(span):
            raise DamagedMediaError(
                f"the span begins at {clip.start_seconds:g} s, the recording ends before"
            )
        return span

    def draw(self, decoded: Sample, rng: np.random.Generator) -> Sample:
        """One window that begins anywhere in the span."""
        length = self.windows.window_samples
        first = int(rng.integers(max(0, len(decoded) - length) + 1))
        return self.fill(decoded[first : first + length])

    def views(self, decoded: Sample) -> list[Sample]:
        """Windows of the span without overlap, at most eight; the last may be shorter."""
        rate = self.windows.sample_rate_hz
        found = [
            window.samples[: max(1, round((window.end_seconds - window.start_seconds) * rate))]
            for window in cut_windows([decoded], self.windows)
        ]
        chosen = np.linspace(0, len(found) - 1, min(len(found), VALIDATION_WINDOWS))
        return [found[round(number)] for number in chosen]

    def fill(self, view: Sample) -> Sample:
        """(window_samples,) the view, repeated until it fills a window."""
        return np.resize(view, self.windows.window_samples)


@dataclass(slots=True)
class ClipMedia:
    """The decoded media of some clips, by their number.

    Attributes:
        clips: What there is to decode; after `check` only what can be.
        reader: How to decode it.
        threads: That decode.
    """

    clips: list[CaptionedClip]
    reader: ClipReader
    threads: int = field(default_factory=lambda: min(16, os.cpu_count() or 1))
    _kept: dict[Clip, Sample] = field(default_factory=dict)
    _kept_bytes: int = 0

    def check(self, on_clip: Callable[[int], None] | None = None) -> list[BadRow]:
        """Decode every clip once and drop those that cannot be.

        Args:
            on_clip: Called with the number of clips decoded so far.

        Returns:
            The rows of the dropped ones.
        """
        good, bad = [], []
        results = self._ahead((one.clip for one in self.clips), self._try)
        for done, (one, result) in enumerate(zip(self.clips, results, strict=True), start=1):
            if isinstance(result, str):
                bad += [BadRow(row, f"{one.clip.path}: {result}") for row in one.rows]
            else:
                good.append(one)
                if self._kept_bytes + result.nbytes <= KEPT_BYTES:
                    self._kept[one.clip] = result
                    self._kept_bytes += result.nbytes
            if on_clip is not None:
                on_clip(done)
        self.clips[:] = good
        return bad

    def decoded(self, numbers: Iterable[int]) -> Iterator[Sample]:
        """Decode clips in a given order, some ahead of their use."""
        return self._ahead((self.clips[number].clip for number in numbers), self._get)

    def _get(self, clip: Clip) -> Sample:
        kept = self._kept.get(clip)
        if kept is not None:
            return kept
        try:
            return self.reader.read(clip)
        except _BAD_MEDIA as error:
            raise DamagedMediaError(
                f"{clip.path}: {error}; it could be read when the training began"
            ) from error

    def _try(self, clip: Clip) -> Sample | str:
        try:
            return self.reader.read(clip)
        except _BAD_MEDIA as error:
            return str(error) or type(error).__name__

    def _ahead(self, clips: Iterator[Clip], work: Callable[[Clip], T]) -> Iterator[T]:
        with ThreadPoolExecutor(self.threads) as pool:
            running = [pool.submit(work, clip) for clip in islice(clips, AHEAD * self.threads)]
            try:
                while running:
                    yield running.pop(0).result()
                    running += [pool.submit(work, clip) for clip in islice(clips, 1)]
            finally:
                for future in running:
                    future.cancel()


def mean_vectors(
    media: ClipMedia,
    embed: Callable[[list[Sample]], NDArray[np.float32]],
    numbers: Iterable[int],
    *,
    batch_views: int = 64,
    on_clip: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """Embed clips whole: each one's vector is the mean of its views', of unit length.

    Args:
        media: The clips.
        embed: Views → (views, dim) unit vectors.
        numbers: Which clips, at least one.
        batch_views: Views that are embedded at once, about.
        on_clip: Called with the number of clips embedded so far.

    Returns:
        (clips, dim) float32.
    """
    rows: list[NDArray[np.float32]] = []
    waiting: list[list[Sample]] = []

    def flush() -> None:
        vectors = embed([view for views in waiting for view in views])
        borders = np.cumsum([len(views) for views in waiting])[:-1]
        rows.extend(part.sum(axis=0) for part in np.split(vectors, borders))
        waiting.clear()
        if on_clip is not None:
            on_clip(len(rows))

    for decoded in media.decoded(numbers):
        waiting.append(media.reader.views(decoded))
        if sum(map(len, waiting)) >= batch_views:
            flush()
    if waiting:
        flush()
    return unit_rows(np.stack(rows), "mean of a clip's views")
