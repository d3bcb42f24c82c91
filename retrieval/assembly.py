"""Between decoding and storing: batches samples over items, encodes them, hands items out whole.

Decoders deliver an item's samples in chunks, encoders want large batches, the store wants whole
items in their order. This module is the only place where the three rhythms meet.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.pooling import pool_clips
from retrieval.errors import InvalidVectorError
from retrieval.protocols import Encoder
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
    queued_chunks: int = 0
    end: MediaInfo | Failure | None = None
    invalid: str | None = None  # why its vectors cannot be stored

    @property
    def finished(self) -> bool:
        if self.end is None:
            return False
        return isinstance(self.end, Failure) or self.invalid is not None or not self.queued_chunks


class _Queue:
    """Chunks of one space that wait for their batch to fill."""

    def __init__(self) -> None:
        self.pairs: list[tuple[_Waiting, DecodedChunk]] = []
        self.samples = 0
        self.bytes = 0

    def push(self, item: _Waiting, chunk: DecodedChunk) -> None:
        self.pairs.append((item, chunk))
        self.samples += len(chunk.samples)
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
        self._queues: dict[str, _Queue] = defaultdict(_Queue)

    def add(self, event: DecodedChunk | ItemDecoded | Failure) -> None:
        """Take one event; events of one item come together, its end or failure last."""
        if self._open is None:
            self._open = _Waiting()
            self._order.append(self._open)
        item = self._open
        if isinstance(event, DecodedChunk):
            item.queued_chunks += 1
            queue = self._queues[event.space]
            queue.push(item, event)
            if queue.samples >= self._batch_samples or queue.bytes >= MAX_BATCH_BYTES:
                self._encode_queue(event.space)
            return
        item.end = event if isinstance(event, Failure) else event.info
        self._open = None
        if len(self._order) > MAX_WAITING_ITEMS:
            self.flush()

    def flush(self) -> None:
        """Encode whatever is queued, in batches however small."""
        for space in list(self._queues):
            self._encode_queue(space)

    def finished(self) -> Iterator[EmbeddedItem | Failure]:
        """Yield the items, in order, up to the first that still waits for its vectors."""
        while self._order and self._order[0].finished:
            yield self._result(self._order.popleft())

    def _encode_queue(self, space: str) -> None:
        """Encode one space's queue and give the vectors back to their items."""
        pairs = [pair for pair in self._queues.pop(space).pairs if _wanted(pair[0])]
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
            return encoder.encode_images(samples.astype(np.uint8, copy=False))
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
        for name, (space, _) in self._encoders.items():
            pieces = [
                _segments(medium, part, space, end.duration_seconds)
                for (part_space, medium), part in item.parts.items()
                if part_space == name
            ]
            segments[name] = _joined(pieces, space.dim)
            seen = item.parts.get((name, Medium.VIDEO))
            if seen is not None:
                frames[name] = Frames(
                    np.concatenate(seen.starts).astype(np.float32), np.concatenate(seen.vectors)
                )
        return EmbeddedItem(info=end, segments=segments, frames=frames)


def _wanted(item: _Waiting) -> bool:
    return item.invalid is None and not isinstance(item.end, Failure)


def _segments(medium: Medium, part: _Part, space: Space, duration: float | None) -> Segments:
    vectors = np.concatenate(part.vectors)
    if medium is Medium.IMAGE:
        nothing = np.full(len(vectors), np.nan, np.float32)
        return Segments([medium] * len(vectors), nothing, nothing, vectors)
    starts = np.concatenate(part.starts)
    if medium is Medium.VIDEO:
        starts, ends, vectors = pool_clips(
            starts, vectors, space.sampling.clip_seconds, duration_seconds=duration
        )
    else:
        ends = np.concatenate(part.ends)
    return Segments(
        [medium] * len(vectors), starts.astype(np.float32), ends.astype(np.float32), vectors
    )


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
