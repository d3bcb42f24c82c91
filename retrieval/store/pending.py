"""What waits to be published: items and rows, checked as they come and held as float16."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.errors import DimensionMismatchError, InvalidVectorError
from retrieval.store.schema import FAILURES, MEDIUM_CODES, frames_schema, segments_schema
from retrieval.store.updates import Update
from retrieval.types import Failure, Frames, MediaInfo, Segments, Space

SHARD_ROWS = 65_536
"""Rows of a full shard, of whichever kind."""

SHARD_BYTES = 64 << 20
"""Memory that a full shard takes while it waits."""

SHARD_SECONDS = 60.0
"""Age at which a shard is published however small it is: what a kill may cost."""

UNIT_TOLERANCE = 5e-3
"""How far from 1 a vector's length may be; float16 alone moves it by up to 5e-4."""

_ITEM_BYTES = 1024
_GROUP_ITEMS = 256
_MEDIA = pa.array([str(medium) for medium in MEDIUM_CODES])


def single_precision(
    starts: NDArray[np.floating], ends: NDArray[np.floating]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Round spans to float32 so that none becomes empty.

    Beyond 2^24 seconds neighbouring float32 numbers are two seconds apart. A span that rounding
    would empty ends at the next number.
    """
    first, last = np.array(starts, np.float32), np.array(ends, np.float32)
    emptied = (np.asarray(starts) < np.asarray(ends)) & (first >= last)
    return first, np.where(emptied, np.nextafter(first, np.float32(np.inf)), last)


@dataclass(frozen=True, slots=True)
class SpaceRows:
    """The rows of one item in one space, as they will be stored; parallel arrays."""

    media: NDArray[np.int8]
    start_seconds: NDArray[np.float32]
    end_seconds: NDArray[np.float32]
    vectors: NDArray[np.float16]
    frame_seconds: NDArray[np.float32]
    frame_vectors: NDArray[np.float16]

    @classmethod
    def of(cls, what: str, space: Space, segments: Segments, frames: Frames | None) -> SpaceRows:
        """Check one item's rows and cast them; `what` is what error messages call the item.

        Raises:
            DimensionMismatchError: Vectors have another length than the space's.
            InvalidVectorError: A vector is NaN, infinite or not of unit length.
            ValueError: Arrays of different lengths, a medium that the space does not embed, or a
                time that is not one.
        """
        frames = frames or Frames(np.empty(0, np.float32), np.empty((0, space.dim), np.float32))
        starts, ends = single_precision(segments.start_seconds, segments.end_seconds)
        rows = cls(
            media=np.array([MEDIUM_CODES.index(medium) for medium in segments.media], np.int8),
            start_seconds=starts,
            end_seconds=ends,
            vectors=half_precision(what, space, segments.vectors),
            frame_seconds=np.array(frames.seconds, np.float32),
            frame_vectors=half_precision(what, space, frames.vectors),
        )
        rows._check(what)
        return rows

    @property
    def bytes(self) -> int:
        """Memory they take while they wait, nearly."""
        return self.vectors.nbytes + self.frame_vectors.nbytes + _ITEM_BYTES

    def _check(self, what: str) -> None:
        lengths = [len(self.media), len(self.start_seconds), len(self.end_seconds)]
        if set(lengths) != {len(self.vectors)} or len(self.frame_seconds) != len(
            self.frame_vectors
        ):
            raise ValueError(f"{what}: media, times and vectors differ in length")
        spans = self.start_seconds < self.end_seconds
        untimed = np.isnan(self.start_seconds) & np.isnan(self.end_seconds)
        if not (spans | untimed).all() or not np.isfinite(self.frame_seconds).all():
            raise ValueError(f"{what}: a segment has start >= end, or a frame has no time")


@dataclass(slots=True)
class Pending:
    """Everything that the next generation adds.

    Items have no id of their own yet: they are numbered on from `first_item_id` in their order.
    """

    first_item_id: int
    spaces: list[Space] = field(default_factory=list)
    items: list[tuple[MediaInfo, dict[str, SpaceRows]]] = field(default_factory=list)
    rows: dict[str, list[tuple[int, SpaceRows]]] = field(default_factory=dict)
    failures: list[tuple[Failure, int]] = field(default_factory=list)
    removed: set[int] = field(default_factory=set)
    updates: dict[int, Update] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    _bytes: int = 0
    _most_rows: int = 0
    _since: float | None = None

    def __bool__(self) -> bool:
        rows = self.items or self.rows or self.failures or self.removed
        return bool(self.spaces or rows or self.updates or self.settled)

    @property
    def next_item_id(self) -> int:
        """The id after the last pending item's."""
        return self.first_item_id + len(self.items)

    def add(self, info: MediaInfo, rows: dict[str, SpaceRows]) -> None:
        """Take a new item with its rows in every space."""
        self.items.append((info, rows))
        self._count(*rows.values())

    def add_rows(self, item_id: int, space: str, rows: SpaceRows) -> None:
        """Take the rows of an item that exists."""
        self.rows.setdefault(space, []).append((item_id, rows))
        self._count(rows)

    def fail(self, failure: Failure) -> None:
        """Take a failure; items of the same uri that are added later end it."""
        self.failures.append((failure, self.next_item_id))
        self._count()

    def update(self, item_id: int, update: Update) -> None:
        """Take new values of an item that exists."""
        self.updates[item_id] = update.after(self.updates.get(item_id))
        self._count()

    def due(self) -> bool:
        """Whether this fills a shard, or the oldest part of it is a minute old."""
        full = self._most_rows >= SHARD_ROWS or self._bytes >= SHARD_BYTES
        old = self._since is not None and time.monotonic() - self._since >= SHARD_SECONDS
        return full or old or len(self.items) >= SHARD_ROWS

    def _count(self, *rows: SpaceRows) -> None:
        if self._since is None:
            self._since = time.monotonic()
        self._bytes += sum(each.bytes for each in rows) + _ITEM_BYTES
        # A bound on every shard's rows: none has more than all spaces together.
        self._most_rows += sum(max(len(each.vectors), len(each.frame_vectors)) for each in rows)

    # ------------------------------------------------------------ rows of the files

    def covered(self, space: str) -> tuple[int, int] | None:
        """First and last id of the items that the pending rows of a space are about."""
        ids = [item_id for item_id, _ in self.rows.get(space, [])]
        if self.items:
            ids += [self.first_item_id, self.next_item_id - 1]
        return (ids[0], ids[-1]) if ids else None

    def segment_batches(self, space: Space) -> Iterator[pa.RecordBatch]:
        """Rows of `segments/SPACE`."""
        schema = segments_schema(space.dim)
        for ids, group in self._groups(space):
            columns = [
                _repeated(ids, [len(rows.vectors) for rows in group]),
                _MEDIA.take(pa.array(np.concatenate([rows.media for rows in group]))),
                _times([rows.start_seconds for rows in group]),
                _times([rows.end_seconds for rows in group]),
                _embeddings([rows.vectors for rows in group]),
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def frame_batches(self, space: Space) -> Iterator[pa.RecordBatch]:
        """Rows of `frames/SPACE`."""
        schema = frames_schema(space.dim)
        for ids, group in self._groups(space):
            columns = [
                _repeated(ids, [len(rows.frame_vectors) for rows in group]),
                _times([rows.frame_seconds for rows in group]),
                _embeddings([rows.frame_vectors for rows in group]),
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def has_frames(self, space: Space) -> bool:
        """Whether any pending item has frames in a space."""
        return any(len(rows.frame_vectors) for _, rows in self._rows_of(space))

    def _groups(self, space: Space) -> Iterator[tuple[list[int], list[SpaceRows]]]:
        """Items and their rows, some at a time: a batch for each item would cost more."""
        rest = self._rows_of(space)
        while group := list(islice(rest, _GROUP_ITEMS)):
            yield [item_id for item_id, _ in group], [rows for _, rows in group]

    def _rows_of(self, space: Space) -> Iterator[tuple[int, SpaceRows]]:
        yield from self.rows.get(space.name, [])
        for item_id, (_, rows) in enumerate(self.items, self.first_item_id):
            if space.name in rows:
                yield item_id, rows[space.name]


def half_precision(what: str, space: Space, vectors: NDArray[np.floating]) -> NDArray[np.float16]:
    """Unit vectors as they are stored; (n, dim) in and out.

    Raises:
        DimensionMismatchError: Vectors have another length than the space's.
        InvalidVectorError: A vector is NaN, infinite or not of unit length, before or after.
    """
    if vectors.ndim != 2 or vectors.shape[1] != space.dim:
        raise DimensionMismatchError(
            f"{what}: vectors of shape {vectors.shape}, expected (n, {space.dim}) in {space.name}"
        )
    if not len(vectors):
        return np.empty((0, space.dim), np.float16)
    with np.errstate(over="ignore", invalid="ignore"):
        stored = vectors.astype(np.float16)
        for each in (vectors, stored):
            lengths = np.linalg.norm(each.astype(np.float32), axis=1)
            right = np.abs(lengths - 1) <= UNIT_TOLERANCE
            if not right.all():
                wrong = int(right.argmin())
                raise InvalidVectorError(
                    f"{what}: vector {wrong} in {space.name} has length {lengths[wrong]}, "
                    "expected 1; look at the file, or at the encoder if many are like this"
                )
    return stored


def failures_batch(failures: Sequence[tuple[Failure, int]]) -> pa.RecordBatch:
    """Rows of `failures/`, each with the item id that a later success would have at least."""
    rows = [
        {
            **asdict(failure),
            # Libraries put what they met into their messages, whole Unicode or not.
            "reason": failure.reason.encode(errors="replace").decode(),
            "next_item_id": next_item_id,
        }
        for failure, next_item_id in failures
    ]
    return pa.RecordBatch.from_pylist(rows, schema=FAILURES)


def _repeated(ids: list[int], counts: list[int]) -> pa.Array:
    return pa.array(np.repeat(np.array(ids, np.int64), counts))


def _times(parts: list[NDArray[np.float32]]) -> pa.Array:
    """Null where there is no time: SQL compares NaN as the greatest number."""
    return pa.array(np.concatenate(parts), from_pandas=True)


def _embeddings(parts: list[NDArray[np.float16]]) -> pa.Array:
    vectors = np.concatenate(parts)
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
