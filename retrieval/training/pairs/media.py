"""Decoded media of a manifest's spans: read ahead in threads, and cached in memory.

Pillow, libsndfile and soxr release the GIL while they decode, so threads suffice.
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
from retrieval.progress import Progress, no_progress
from retrieval.training.pairs.manifest import CaptionedSpan, MediaSpan, SkippedRow
from retrieval.types import AudioWindows, ImageGeometry

MAX_CACHED_BYTES = 1 << 30
"""Decoded spans that stay in memory; the others are decoded at each use."""

MAX_SOUND_SECONDS = 600.0
"""Longer spans are cut to their first ten minutes."""

MAX_VIEWS = 8
"""Views of one span whose mean vector represents it in validation."""

SPANS_AHEAD = 2
"""Number of spans that each thread decodes ahead of their use."""

_MEDIA_ERRORS = (MediaError, OSError, av.error.FFmpegError, MemoryError)

Sample = NDArray[Any]
T = TypeVar("T")


class SpanReader(Protocol):
    """Decodes spans for one media tower."""

    def read(self, span: MediaSpan) -> Sample:
        """Decode a span to the form that is cached."""
        ...

    def draw(self, decoded: Sample, rng: np.random.Generator) -> Sample:
        """Draw one training sample of a decoded span."""
        ...

    def views(self, decoded: Sample) -> list[Sample]:
        """Return the parts of a decoded span, in their real lengths, whose mean represents it."""
        ...

    def fill(self, view: Sample) -> Sample:
        """Extend a view to the size of a training sample."""
        ...


@dataclass(frozen=True, slots=True)
class ImageReader:
    """Implements `SpanReader` for images, resized as a model requires: (height, width, 3) uint8."""

    geometry: ImageGeometry

    def read(self, span: MediaSpan) -> Sample:
        """Decode and resize an image."""
        if span.start_seconds or span.end_seconds is not None:
            raise DamagedMediaError("a picture has no start and end; leave them empty")
        side = max(self.geometry.height, self.geometry.width)
        return fit(read_image(span.path, draft_side=2 * side), self.geometry)

    def draw(self, decoded: Sample, rng: np.random.Generator) -> Sample:
        """Return the image."""
        return decoded

    def views(self, decoded: Sample) -> list[Sample]:
        """Return the image as the only view."""
        return [decoded]

    def fill(self, view: Sample) -> Sample:
        """Return the image."""
        return view


@dataclass(frozen=True, slots=True)
class AudioReader:
    """Implements `SpanReader` for spans of recordings, at a model's sample rate.

    A span shorter than a window is repeated until it fills the window.
    """

    windows: AudioWindows

    def read(self, span: MediaSpan) -> Sample:
        """Decode the span to (samples,) float32 mono."""
        rate = self.windows.sample_rate_hz
        seconds = MAX_SOUND_SECONDS
        if span.end_seconds is not None:
            seconds = min(seconds, span.end_seconds - span.start_seconds)
        first, count = round(span.start_seconds * rate), max(1, round(seconds * rate))
        parts: list[Sample] = []
        position = 0
        with open_sound(span.path) as sound:
            for block in sound.mono(rate):
                parts.append(block[max(0, first - position) : first + count - position])
                position += len(block)
                if position >= first + count:
                    break
        samples = np.concatenate(parts) if parts else np.empty(0, np.float32)
        if not len(samples):
            raise DamagedMediaError(
                f"the span begins at {span.start_seconds:g} s, the recording ends before"
            )
        return samples

    def draw(self, decoded: Sample, rng: np.random.Generator) -> Sample:
        """Draw one window that begins anywhere in the span."""
        length = self.windows.window_samples
        first = int(rng.integers(max(0, len(decoded) - length) + 1))
        return self.fill(decoded[first : first + length])

    def views(self, decoded: Sample) -> list[Sample]:
        """Return up to eight windows of the span, evenly spaced; the last may be shorter."""
        rate = self.windows.sample_rate_hz
        views = [
            window.samples[: max(1, round((window.end_seconds - window.start_seconds) * rate))]
            for window in cut_windows([decoded], self.windows)
        ]
        chosen = np.linspace(0, len(views) - 1, min(len(views), MAX_VIEWS))
        return [views[round(number)] for number in chosen]

    def fill(self, view: Sample) -> Sample:
        """Repeat a view until it fills a window, (window_samples,)."""
        return np.resize(view, self.windows.window_samples)


@dataclass(slots=True)
class SpanMedia:
    """The decoded media of spans, by the number of the span.

    Attributes:
        spans: The spans to decode; `check` removes those that cannot be decoded.
        reader: Decodes them.
        threads: Number of decoding threads.
    """

    spans: list[CaptionedSpan]
    reader: SpanReader
    threads: int = field(default_factory=lambda: min(16, os.cpu_count() or 1))
    _cache: dict[MediaSpan, Sample] = field(default_factory=dict)
    _cached_bytes: int = 0

    def check(self, progress: Progress = no_progress) -> list[SkippedRow]:
        """Decode every span once, and remove those that cannot be decoded.

        Returns:
            The rows of the removed spans.
        """
        usable, skipped = [], []
        results = self._map_ahead((captioned.span for captioned in self.spans), self._try)
        total = len(self.spans)
        for done, (captioned, result) in enumerate(zip(self.spans, results, strict=True), start=1):
            if isinstance(result, str):
                reason = f"{captioned.span.path}: {result}"
                skipped += [SkippedRow(row, reason) for row in captioned.rows]
            else:
                usable.append(captioned)
                if self._cached_bytes + result.nbytes <= MAX_CACHED_BYTES:
                    self._cache[captioned.span] = result
                    self._cached_bytes += result.nbytes
            progress("decoding", done, total)
        self.spans[:] = usable
        return skipped

    def decode(self, numbers: Iterable[int]) -> Iterator[Sample]:
        """Yield decoded spans in the order of their numbers, decoding ahead."""
        return self._map_ahead((self.spans[number].span for number in numbers), self._get)

    def _get(self, span: MediaSpan) -> Sample:
        cached = self._cache.get(span)
        if cached is not None:
            return cached
        try:
            return self.reader.read(span)
        except _MEDIA_ERRORS as error:
            raise DamagedMediaError(
                f"{span.path}: {error}; it was readable when the training began"
            ) from error

    def _try(self, span: MediaSpan) -> Sample | str:
        try:
            return self.reader.read(span)
        except _MEDIA_ERRORS as error:
            return str(error) or type(error).__name__

    def _map_ahead(
        self, spans: Iterator[MediaSpan], function: Callable[[MediaSpan], T]
    ) -> Iterator[T]:
        with ThreadPoolExecutor(self.threads) as pool:
            first = islice(spans, SPANS_AHEAD * self.threads)
            running = [pool.submit(function, span) for span in first]
            try:
                while running:
                    yield running.pop(0).result()
                    running += [pool.submit(function, span) for span in islice(spans, 1)]
            finally:
                for future in running:
                    future.cancel()


def mean_vectors(
    media: SpanMedia,
    embed: Callable[[list[Sample]], NDArray[np.float32]],
    *,
    batch_views: int = 64,
    progress: Progress = no_progress,
) -> NDArray[np.float32]:
    """Embed whole spans: the vector of each is the mean of its views' vectors, of unit length.

    Args:
        media: At least one span.
        embed: Views → (views, dim) unit vectors.
        batch_views: Approximate number of views per call of `embed`.
        progress: Receives the number of embedded spans.

    Returns:
        (spans, dim) float32.
    """
    rows: list[NDArray[np.float32]] = []
    pending: list[list[Sample]] = []

    def flush() -> None:
        vectors = embed([view for views in pending for view in views])
        borders = np.cumsum([len(views) for views in pending])[:-1]
        rows.extend(part.sum(axis=0) for part in np.split(vectors, borders))
        pending.clear()
        progress("embedding", len(rows), len(media.spans))

    for decoded in media.decode(range(len(media.spans))):
        pending.append(media.reader.views(decoded))
        if sum(map(len, pending)) >= batch_views:
            flush()
    if pending:
        flush()
    return unit_rows(np.stack(rows), "mean of the views of a span")
