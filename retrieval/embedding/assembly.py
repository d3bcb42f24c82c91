"""Assembles items from decoded chunks: batches samples across items, encodes, restores the order.

Decoders deliver chunks of an item, encoders are efficient with large batches, and the store needs
complete items in order.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.clips import ClipCutter
from retrieval.encoders.pooling import clip_ends, pool_clips
from retrieval.errors import InvalidVectorError
from retrieval.protocols import Encoder, reads_clips
from retrieval.store.space_rows import single_precision
from retrieval.types import (
    DecodedChunk,
    DecodeEvent,
    EmbeddedItem,
    Failure,
    Frames,
    ItemDecoded,
    ItemUnchanged,
    MediaInfo,
    Medium,
    Segments,
    Space,
    WordEvent,
)

MAX_WAITING_ITEMS = 2_048
"""Maximal number of incomplete items; bounds memory if one medium is rare."""

MAX_BATCH_BYTES = 32 << 20
"""Maximal size of the decoded samples of one encoder call."""


@dataclass(slots=True)
class _EncodedChunks:
    """The encoded chunks of one item in one space and medium, in order."""

    starts: list[NDArray[np.float64]] = field(default_factory=list)
    ends: list[NDArray[np.float64]] = field(default_factory=list)
    vectors: list[NDArray[np.float32]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _PendingItem:
    """One item with its encoded chunks and the number of queued ones."""

    encoded: dict[tuple[str, Medium], _EncodedChunks] = field(
        default_factory=lambda: defaultdict(_EncodedChunks)
    )
    cutters: dict[str, ClipCutter] = field(default_factory=dict)  # by space
    queued_chunks: int = 0
    end: MediaInfo | Failure | None = None
    invalid: str | None = None  # the encoder's error

    @property
    def finished(self) -> bool:
        if self.end is None:
            return False
        return isinstance(self.end, Failure) or self.invalid is not None or not self.queued_chunks


_QueueKey = tuple[str, int]
"""A space and the `ndim` of its samples: windows, pictures and clips are batched separately."""


class _Queue:
    """Chunks of one batch."""

    def __init__(self) -> None:
        self.pairs: list[tuple[_PendingItem, DecodedChunk]] = []
        self.samples = 0
        self.bytes = 0

    def push(self, item: _PendingItem, chunk: DecodedChunk) -> None:
        self.pairs.append((item, chunk))
        # Each frame of a clip counts.
        self.samples += math.prod(chunk.samples.shape[: max(1, chunk.samples.ndim - 3)])
        self.bytes += chunk.samples.nbytes


class Assembler:
    """Converts decode events to embedded items, in the order of decoding.

    Args:
        encoders: By space name.
        batch_samples: Pictures, frames or windows per encoder call.
    """

    def __init__(
        self, encoders: Mapping[str, tuple[Space, Encoder]], *, batch_samples: int = 64
    ) -> None:
        self._encoders = encoders
        self._batch_samples = batch_samples
        self._order: deque[_PendingItem] = deque()
        self._open: _PendingItem | None = None
        self._queues: dict[_QueueKey, _Queue] = defaultdict(_Queue)

    def add(self, event: DecodedChunk | ItemDecoded | Failure) -> None:
        """Add one event; the events of an item are consecutive and end with its end or failure."""
        if self._open is None:
            self._open = _PendingItem()
            self._order.append(self._open)
        item = self._open
        if isinstance(event, DecodedChunk):
            self._enqueue(item, self._cut_clips(item, event))
            return
        if isinstance(event, ItemDecoded):
            for space, cutter in item.cutters.items():
                self._enqueue(item, _clips(space, *cutter.finish()))
        item.cutters.clear()
        item.end = event if isinstance(event, Failure) else event.info
        self._open = None
        if len(self._order) > MAX_WAITING_ITEMS:
            self.flush()

    def assemble(self, events: Iterable[DecodeEvent]) -> Iterator[EmbeddedItem | Failure]:
        """Yield the items of all events in order; unchanged files are skipped."""
        for event in events:
            if not isinstance(event, ItemUnchanged | WordEvent):
                self.add(event)
                yield from self.finished()
        self.flush()
        yield from self.finished()

    def flush(self) -> None:
        """Encode all queued chunks, including partial batches."""
        for key in list(self._queues):
            self._encode_queue(key)

    def finished(self) -> Iterator[EmbeddedItem | Failure]:
        """Yield the finished items in order, up to the first unfinished one."""
        while self._order and self._order[0].finished:
            yield self._result(self._order.popleft())

    def _cut_clips(self, item: _PendingItem, chunk: DecodedChunk) -> DecodedChunk:
        """Return the clips that a chunk completes, or the chunk if the encoder reads no clips."""
        space, encoder = self._encoders[chunk.space]
        if chunk.medium is not Medium.VIDEO or not reads_clips(encoder):
            return chunk
        if chunk.space not in item.cutters:
            clip_seconds = space.sampling.clip_seconds
            item.cutters[chunk.space] = ClipCutter(encoder.clip_frames, clip_seconds)
        assert chunk.start_seconds is not None  # frames have times
        frames = chunk.samples.astype(np.uint8, copy=False)
        return _clips(chunk.space, *item.cutters[chunk.space].add(chunk.start_seconds, frames))

    def _enqueue(self, item: _PendingItem, chunk: DecodedChunk) -> None:
        if not len(chunk.samples):
            return
        item.queued_chunks += 1
        key = (chunk.space, chunk.samples.ndim)
        queue = self._queues[key]
        queue.push(item, chunk)
        if queue.samples >= self._batch_samples or queue.bytes >= MAX_BATCH_BYTES:
            self._encode_queue(key)

    def _encode_queue(self, key: _QueueKey) -> None:
        """Encode one queue and assign the vectors to their items."""
        space = key[0]
        pairs = [pair for pair in self._queues.pop(key).pairs if _is_valid(pair[0])]
        if not pairs:
            return
        try:
            self._encode(space, pairs)
        except InvalidVectorError:
            # Retry each item separately, so that one bad item fails alone.
            for item in dict.fromkeys(item for item, _ in pairs):
                try:
                    self._encode(space, [pair for pair in pairs if pair[0] is item])
                except InvalidVectorError as error:
                    item.invalid = str(error)

    def _encode(self, space: str, pairs: list[tuple[_PendingItem, DecodedChunk]]) -> None:
        vectors = self._vectors(space, [chunk for _, chunk in pairs])
        first = 0
        for item, chunk in pairs:
            encoded = item.encoded[(space, chunk.medium)]
            encoded.vectors.append(vectors[first : first + len(chunk.samples)])
            if chunk.start_seconds is not None:
                encoded.starts.append(chunk.start_seconds)
            if chunk.end_seconds is not None:
                encoded.ends.append(chunk.end_seconds)
            first += len(chunk.samples)
            item.queued_chunks -= 1

    def _vectors(self, space: str, chunks: list[DecodedChunk]) -> NDArray[np.float32]:
        encoder = self._encoders[space][1]
        samples = np.concatenate([chunk.samples for chunk in chunks])
        if chunks[0].medium is not Medium.AUDIO:
            pixels = samples.astype(np.uint8, copy=False)
            if pixels.ndim == 5 and reads_clips(encoder):
                return encoder.encode_clips(pixels)
            return encoder.encode_images(pixels)
        seconds = [
            chunk.end_seconds - chunk.start_seconds
            for chunk in chunks
            if chunk.end_seconds is not None and chunk.start_seconds is not None
        ]
        return encoder.encode_audio(samples.astype(np.float32, copy=False), np.concatenate(seconds))

    def _result(self, item: _PendingItem) -> EmbeddedItem | Failure:
        end = item.end
        assert end is not None  # `finished` checks this
        if isinstance(end, Failure):
            return end
        if item.invalid is not None:
            return Failure(end.uri, "encode", item.invalid, end.bytes, end.mtime)
        segments: dict[str, Segments] = {}
        frames: dict[str, Frames] = {}
        for name, (space, encoder) in self._encoders.items():
            pooled = not reads_clips(encoder)
            by_medium = [
                _segments(medium, encoded, space, end.duration_seconds, pooled=pooled)
                for (encoded_space, medium), encoded in item.encoded.items()
                if encoded_space == name
            ]
            segments[name] = _concatenate(by_medium, space.dim)
            video = item.encoded.get((name, Medium.VIDEO))
            if video is not None and pooled:
                frames[name] = Frames(
                    np.concatenate(video.starts).astype(np.float32), np.concatenate(video.vectors)
                )
        return EmbeddedItem(info=end, segments=segments, frames=frames)


def _is_valid(item: _PendingItem) -> bool:
    return item.invalid is None and not isinstance(item.end, Failure)


def _clips(space: str, starts: NDArray[np.float64], frames: NDArray[np.uint8]) -> DecodedChunk:
    return DecodedChunk(space, Medium.VIDEO, frames, start_seconds=starts)


def _segments(
    medium: Medium, encoded: _EncodedChunks, space: Space, duration: float | None, *, pooled: bool
) -> Segments:
    """Return the rows of one medium; `pooled` rows of a video are means of frame vectors."""
    vectors = np.concatenate(encoded.vectors)
    if medium is Medium.IMAGE:
        no_times = np.full(len(vectors), np.nan, np.float32)
        return Segments([medium] * len(vectors), no_times, no_times, vectors)
    starts = np.concatenate(encoded.starts)
    clip_seconds = space.sampling.clip_seconds
    if medium is Medium.AUDIO:
        ends = np.concatenate(encoded.ends)
    elif pooled:
        starts, ends, vectors = pool_clips(starts, vectors, clip_seconds, duration_seconds=duration)
    else:
        ends = clip_ends(starts, clip_seconds, duration)
    return Segments([medium] * len(vectors), *single_precision(starts, ends), vectors)


def _concatenate(parts: list[Segments], dim: int) -> Segments:
    empty = np.empty(0, np.float32)
    return Segments(
        [medium for part in parts for medium in part.media],
        np.concatenate([empty, *(part.start_seconds for part in parts)]),
        np.concatenate([empty, *(part.end_seconds for part in parts)]),
        np.concatenate([np.empty((0, dim), np.float32), *(part.vectors for part in parts)]),
    )
