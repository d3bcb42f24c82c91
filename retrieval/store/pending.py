"""Collects the changes of the next generation; vectors are checked and held as float16."""

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
from retrieval.store.text_rows import ALL_SOURCES, TextUpdate, text_bytes
from retrieval.store.updates import Update
from retrieval.types import Failure, Frames, MediaInfo, Segments, Space, TimedText

SHARD_ROWS = 65_536
"""Rows of a full shard."""

SHARD_BYTES = 64 << 20
"""Memory of the pending rows of a full shard."""

SHARD_SECONDS = 60.0
"""Age at which a shard is published regardless of its size, so that a kill loses little work."""

UNIT_TOLERANCE = 5e-3
"""Accepted deviation of a vector's length from 1; rounding to float16 causes up to 5e-4."""

_ITEM_BYTES = 1024
_GROUP_ITEMS = 256
_MEDIA = pa.array([str(medium) for medium in MEDIUM_CODES])


@dataclass(frozen=True, slots=True)
class SpaceRows:
    """The rows of one item in one space, as they are stored; parallel arrays."""

    media: NDArray[np.int8]
    start_seconds: NDArray[np.float32]
    end_seconds: NDArray[np.float32]
    vectors: NDArray[np.float16]
    frame_seconds: NDArray[np.float32]
    frame_vectors: NDArray[np.float16]

    @classmethod
    def from_segments(
        cls, label: str, space: Space, segments: Segments, frames: Frames | None
    ) -> SpaceRows:
        """Check and cast the rows of one item; `label` identifies it in error messages.

        Raises:
            DimensionMismatchError: Vectors have another length than the space's.
            InvalidVectorError: A vector is NaN, infinite or not of unit length.
            ValueError: The arrays differ in length, a segment does not start before its end, or a
                frame has no time.
        """
        start_seconds, end_seconds = single_precision(segments.start_seconds, segments.end_seconds)
        frames = frames or Frames(np.empty(0, np.float32), np.empty((0, space.dim), np.float32))
        rows = cls(
            media=np.array([MEDIUM_CODES.index(medium) for medium in segments.media], np.int8),
            start_seconds=start_seconds,
            end_seconds=end_seconds,
            vectors=to_float16(label, space, segments.vectors),
            frame_seconds=np.array(frames.seconds, np.float32),
            frame_vectors=to_float16(label, space, frames.vectors),
        )
        rows._check(label)
        return rows

    @property
    def bytes(self) -> int:
        """Approximate memory of the rows."""
        return self.vectors.nbytes + self.frame_vectors.nbytes + _ITEM_BYTES

    def _check(self, label: str) -> None:
        lengths = [len(self.media), len(self.start_seconds), len(self.end_seconds)]
        if set(lengths) != {len(self.vectors)} or len(self.frame_seconds) != len(
            self.frame_vectors
        ):
            raise ValueError(f"{label}: media, times and vectors differ in length")
        spans = self.start_seconds < self.end_seconds
        untimed = np.isnan(self.start_seconds) & np.isnan(self.end_seconds)
        if not (spans | untimed).all() or not np.isfinite(self.frame_seconds).all():
            raise ValueError(f"{label}: a segment has start >= end, or a frame has no time")


@dataclass(slots=True)
class PendingChanges:
    """Everything that the next generation changes.

    Pending items get consecutive ids from `first_item_id` in their order.
    """

    first_item_id: int
    spaces: list[Space] = field(default_factory=list)
    items: list[tuple[MediaInfo, dict[str, SpaceRows]]] = field(default_factory=list)
    rows: dict[str, list[tuple[int, SpaceRows]]] = field(default_factory=dict)
    failures: list[tuple[Failure, int]] = field(default_factory=list)
    removed: set[int] = field(default_factory=set)
    updates: dict[int, Update] = field(default_factory=dict)
    text_updates: dict[int, TextUpdate] = field(default_factory=dict)
    resolved_failures: set[str] = field(default_factory=set)
    _bytes: int = 0
    _max_rows: int = 0
    _started_at: float | None = None

    def __bool__(self) -> bool:
        rows = self.items or self.rows or self.failures or self.removed
        updates = self.updates or self.text_updates
        return bool(self.spaces or rows or updates or self.resolved_failures)

    @property
    def next_item_id(self) -> int:
        """The id after that of the last pending item."""
        return self.first_item_id + len(self.items)

    def add(self, info: MediaInfo, rows: dict[str, SpaceRows]) -> None:
        """Add a new item with its rows in every space."""
        self.items.append((info, rows))
        self._count(*rows.values(), texts=info.texts)

    def add_rows(self, item_id: int, space: str, rows: SpaceRows) -> None:
        """Add the rows of an existing item."""
        self.rows.setdefault(space, []).append((item_id, rows))
        self._count(rows)

    def add_failure(self, failure: Failure) -> None:
        """Add a failure; an item of the same uri that is added later resolves it."""
        self.failures.append((failure, self.next_item_id))
        self._count()

    def update(self, item_id: int, update: Update) -> None:
        """Set new values of an existing item."""
        self.updates[item_id] = update.merged_with(self.updates.get(item_id))
        self._count()

    def update_texts(self, item_id: int, update: TextUpdate) -> None:
        """Set new texts of an existing item."""
        self.text_updates[item_id] = update.merged_with(self.text_updates.get(item_id))
        self._count(texts=update.texts)

    @property
    def updated_ids(self) -> NDArray[np.int64]:
        """The sorted ids of existing items with new columns or texts."""
        return np.array(sorted(self.updates.keys() | self.text_updates.keys()), np.int64)

    def is_due(self) -> bool:
        """Whether the changes fill a shard, or the oldest one is a minute old."""
        full = self._max_rows >= SHARD_ROWS or self._bytes >= SHARD_BYTES
        old = self._started_at is not None and time.monotonic() - self._started_at >= SHARD_SECONDS
        return full or old or len(self.items) >= SHARD_ROWS

    def _count(self, *rows: SpaceRows, texts: Sequence[TimedText] = ()) -> None:
        if self._started_at is None:
            self._started_at = time.monotonic()
        self._bytes += sum(each.bytes for each in rows) + _ITEM_BYTES + text_bytes(texts)
        # The sum over all spaces is an upper bound of the rows of each shard.
        self._max_rows += sum(max(len(each.vectors), len(each.frame_vectors)) for each in rows)

    # ------------------------------------------------------------ rows of the files

    def new_texts(self) -> Iterator[tuple[int, TextUpdate]]:
        """Yield ids, texts and sidecars of the pending items."""
        for item_id, (info, _) in enumerate(self.items, self.first_item_id):
            yield item_id, TextUpdate(info.texts, ALL_SOURCES, info.sidecars)

    def id_range(self, space: str) -> tuple[int, int] | None:
        """Return the first and last id of the items with pending rows in a space."""
        ids = [item_id for item_id, _ in self.rows.get(space, [])]
        if self.items:
            ids += [self.first_item_id, self.next_item_id - 1]
        return (ids[0], ids[-1]) if ids else None

    def segment_batches(self, space: Space) -> Iterator[pa.RecordBatch]:
        """Build the rows of `segments/SPACE`."""
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
        """Build the rows of `frames/SPACE`."""
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
        """Yield ids and rows of `_GROUP_ITEMS` items at a time, because small batches are slow."""
        remaining = self._rows_of(space)
        while group := list(islice(remaining, _GROUP_ITEMS)):
            yield [item_id for item_id, _ in group], [rows for _, rows in group]

    def _rows_of(self, space: Space) -> Iterator[tuple[int, SpaceRows]]:
        yield from self.rows.get(space.name, [])
        for item_id, (_, rows) in enumerate(self.items, self.first_item_id):
            if space.name in rows:
                yield item_id, rows[space.name]


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


def to_float16(label: str, space: Space, vectors: NDArray[np.floating]) -> NDArray[np.float16]:
    """Round unit vectors of shape (n, dim) to float16.

    Raises:
        DimensionMismatchError: Vectors have another length than the space's.
        InvalidVectorError: A vector, as given or as rounded, is not of unit length.
    """
    if vectors.ndim != 2 or vectors.shape[1] != space.dim:
        raise DimensionMismatchError(
            f"{label}: vectors of shape {vectors.shape}, expected (n, {space.dim}) in {space.name}"
        )
    if not len(vectors):
        return np.empty((0, space.dim), np.float16)
    with np.errstate(over="ignore", invalid="ignore"):
        stored = vectors.astype(np.float16)
        for each in (vectors, stored):
            lengths = np.linalg.norm(each.astype(np.float32), axis=1)
            is_unit = np.abs(lengths - 1) <= UNIT_TOLERANCE
            if not is_unit.all():
                row = int(is_unit.argmin())
                raise InvalidVectorError(
                    f"{label}: vector {row} in {space.name} has length {lengths[row]}, "
                    "expected 1; check the file, or the encoder if it happens often"
                )
    return stored


def failures_batch(failures: Sequence[tuple[Failure, int]]) -> pa.RecordBatch:
    """Build rows of `failures/` from failures and the lowest item id of a later success."""
    rows = [
        {
            **asdict(failure),
            # Messages of libraries can quote text that is not valid Unicode.
            "reason": failure.reason.encode(errors="replace").decode(),
            "next_item_id": next_item_id,
        }
        for failure, next_item_id in failures
    ]
    return pa.RecordBatch.from_pylist(rows, schema=FAILURES)


def _repeated(ids: list[int], counts: list[int]) -> pa.Array:
    return pa.array(np.repeat(np.array(ids, np.int64), counts))


def _times(parts: list[NDArray[np.float32]]) -> pa.Array:
    """Convert times; NaN becomes null, because SQL orders NaN above every number."""
    return pa.array(np.concatenate(parts), from_pandas=True)


def _embeddings(parts: list[NDArray[np.float16]]) -> pa.Array:
    vectors = np.concatenate(parts)
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
