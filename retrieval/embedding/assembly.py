"""Between decoding and storing: batches samples over items, encodes them, hands items out whole.

Decoders deliver an item's samples in chunks, encoders want large batches, the store wants whole
items in their order. This module is the only place where the three rhythms meet.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.clips import ClipCutter
from retrieval.encoders.pooling import clip_ends, pool_clips
from retrieval.errors import InvalidVectorError
from retrieval.protocols import Encoder, reads_clips
from retrieval.store.pending import single_precision
from retrieval.types import (
    DecodedChunk,
    EmbeddedItem,
    Failure,
    Frames,
    ItemDecoded,
    MediaInfo,
    Medium,
    Segments,
    Space,
)

MAX_WAITING_ITEMS = 2_048
"""Items held back for a fuller batch; bounds memory when one medium is rare in a long list."""

MAX_BATCH_BYTES = 32 << 20
"""Decoded samples of one encoder call; a batch ends at this or at its number of samples."""


@dataclass(slots=True)
class _Part:
    """The encoded chunks of one item in one space and medium, in order."""

    starts: list[NDArray[np.float64]] = field(default_factory=list)
    ends: list[NDArray[np.float64]] = field(default_factory=list)
    vectors: list[NDArray[np.float32]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Waiting:
    """One item on its way: what is encoded, how much is still queued, and its end when known."""

    parts: dict[tuple[str, Medium], _Part] = field(default_factory=lambda: defaultdict(_Part))
    cutters: dict[str, ClipCutter] = field(default_factory=dict)  # by space
    queued_chunks: int = 0
    end: MediaInfo | Failure | None = None
    invalid: str | None = None  # why its vectors cannot be stored

    @property
    def finished(self) -> bool:
        if self.end is None:
            return False
        return isinstance(self.end, Failure) or self.invalid is not None or not self.queued_chunks


_Kind = tuple[str, int]
"""A space, and the dimensions of its samples: windows, pictures and clips fill batches apart."""


class _Queue:
    """Chunks of one kind that wait for their batch to fill."""

    def __init__(self) -> None:
        self.pairs: list[tuple[_Waiting, DecodedChunk]] = []
        self.samples = 0
        self.bytes = 0

    def push(self, item: _Waiting, chunk: DecodedChunk) -> None:
        self.pairs.append((item, chunk))
        # A clip counts with all of its frames.
        self.samples += math.prod(chunk.samples.shape[: max(1, chunk.samples.ndim - 3)])
        self.bytes += chunk.samples.nbytes


class Assembler:
    """Turns decode events into embedded items, in the order in which the items were decoded.

    Args:
        encoders: By space name.
        batch_samples: Pictures, frames or windows of one encoder call.
    """

    def __init__(
        self, encoders: Mapping[str, tuple[Space, Encoder]], *, batch_samples: int = 64
    ) -> None:
        self._encoders = encoders
        self._batch_samples = batch_samples
        self._order: deque[_Waiting] = deque()
        self._open: _Waiting | None = None
        self._queues: dict[_Kind, _Queue] = defaultdict(_Queue)

    def add(self, event: DecodedChunk | ItemDecoded | Failure) -> None:
        """Take one event; events of one item come together, its end or failure last."""
        if self._open is None:
            self._open = _Waiting()
            self._order.append(self._open)
        item = self._open
        if isinstance(event, DecodedChunk):
            self._enqueue(item, self._cut(item, event))
            return
        if isinstance(event, ItemDecoded):
            for space, cutter in item.cutters.items():
                self._enqueue(item, _clips(space, *cutter.finish()))
        item.cutters.clear()
        item.end = event if isinstance(event, Failure) else event.info
        self._open = None
        if len(self._order) > MAX_WAITING_ITEMS:
            self.flush()

    def flush(self) -> None:
        """Encode whatever is queued, in batches however small."""
        for kind in list(self._queues):
            self._encode_queue(kind)

    def finished(self) -> Iterator[EmbeddedItem | Failure]:
        """Yield the items, in order, up to the first that still waits for its vectors."""
        while self._order and self._order[0].finished:
            yield self._result(self._order.popleft())

    def _cut(self, item: _Waiting, chunk: DecodedChunk) -> DecodedChunk:
        """Frames as they are, or the clips they complete where the encoder reads clips."""
        space, encoder = self._encoders[chunk.space]
        if chunk.medium is not Medium.VIDEO or not reads_clips(encoder):
            return chunk
        if chunk.space not in item.cutters:
            clip_seconds = space.sampling.clip_seconds
            item.cutters[chunk.space] = ClipCutter(encoder.clip_frames, clip_seconds)
        assert chunk.start_seconds is not None  # every frame has its time
        frames = chunk.samples.astype(np.uint8, copy=False)
        return _clips(chunk.space, *item.cutters[chunk.space].add(chunk.start_seconds, frames))

    def _enqueue(self, item: _Waiting, chunk: DecodedChunk) -> None:
        if not len(chunk.samples):
            return
        item.queued_chunks += 1
        kind = (chunk.space, chunk.samples.ndim)
        queue = self._queues[kind]
        queue.push(item, chunk)
        if queue.samples >= self._batch_samples or queue.bytes >= MAX_BATCH_BYTES:
            self._encode_queue(kind)

    def _encode_queue(self, kind: _Kind) -> None:
        """Encode one queue and give the vectors back to their items."""
        space = kind[0]
        pairs = [pair for pair in self._queues.pop(kind).pairs if _wanted(pair[0])]
        if not pairs:
            return
        try:
            self._encode(space, pairs)
        except InvalidVectorError:
            # One bad item must not take its neighbours with it: each is tried on its own.
            for item in dict.fromkeys(item for item, _ in pairs):
                try:
                    self._encode(space, [pair for pair in pairs if pair[0] is item])
                except InvalidVectorError as error:
                    item.invalid = str(error)

    def _encode(self, space: str, pairs: list[tuple[_Waiting, DecodedChunk]]) -> None:
        vectors = self._vectors(space, [chunk for _, chunk in pairs])
        first = 0
        for item, chunk in pairs:
            part = item.parts[(space, chunk.medium)]
            part.vectors.append(vectors[first : first + len(chunk.samples)])
            if chunk.start_seconds is not None:
                part.starts.append(chunk.start_seconds)
            if chunk.end_seconds is not None:
                part.ends.append(chunk.end_seconds)
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

    def _result(self, item: _Waiting) -> EmbeddedItem | Failure:
        end = item.end
        assert end is not None  # `finished` lets no other through
        if isinstance(end, Failure):
            return end
        if item.invalid is not None:
            return Failure(end.uri, "encode", item.invalid, end.bytes, end.mtime)
        segments: dict[str, Segments] = {}
        frames: dict[str, Frames] = {}
        for name, (space, encoder) in self._encoders.items():
            pooled = not reads_clips(encoder)
            pieces = [
                _segments(medium, part, space, end.duration_seconds, pooled=pooled)
                for (part_space, medium), part in item.parts.items()
                if part_space == name
            ]
            segments[name] = _joined(pieces, space.dim)
            seen = item.parts.get((name, Medium.VIDEO))
            if seen is not None and pooled:
                frames[name] = Frames(
                    np.concatenate(seen.starts).astype(np.float32), np.concatenate(seen.vectors)
                )
        return EmbeddedItem(info=end, segments=segments, frames=frames)


def _wanted(item: _Waiting) -> bool:
    return item.invalid is None and not isinstance(item.end, Failure)


def _clips(space: str, starts: NDArray[np.float64], frames: NDArray[np.uint8]) -> DecodedChunk:
    return DecodedChunk(space, Medium.VIDEO, frames, start_seconds=starts)


def _segments(
    medium: Medium, part: _Part, space: Space, duration: float | None, *, pooled: bool
) -> Segments:
    """Rows of one medium; those of a video are `pooled` from frames, or clips already."""
    vectors = np.concatenate(part.vectors)
    if medium is Medium.IMAGE:
        nothing = np.full(len(vectors), np.nan, np.float32)
        return Segments([medium] * len(vectors), nothing, nothing, vectors)
    starts = np.concatenate(part.starts)
    clip_seconds = space.sampling.clip_seconds
    if medium is Medium.AUDIO:
        ends = np.concatenate(part.ends)
    elif pooled:
        starts, ends, vectors = pool_clips(starts, vectors, clip_seconds, duration_seconds=duration)
    else:
        ends = clip_ends(starts, clip_seconds, duration)
    return Segments([medium] * len(vectors), *single_precision(starts, ends), vectors)


def _joined(pieces: list[Segments], dim: int) -> Segments:
    if len(pieces) == 1:
        return pieces[0]
    empty = np.empty(0, np.float32)
    return Segments(
        [medium for piece in pieces for medium in piece.media],
        np.concatenate([empty, *(piece.start_seconds for piece in pieces)]),
        np.concatenate([empty, *(piece.end_seconds for piece in pieces)]),
        np.concatenate([np.empty((0, dim), np.float32), *(piece.vectors for piece in pieces)]),
    )
