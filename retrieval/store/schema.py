"""Columns of the Parquet files, and the rules for columns that users bring along."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from retrieval.columns.arrow import ARROW_TYPES, column_type, to_array
from retrieval.columns.notices import Notices
from retrieval.columns.types import ColumnType, adapted, clean_text, is_wide, joined, type_of
from retrieval.errors import ColumnError
from retrieval.types import MediaInfo, Medium, Scalar

ROW_GROUP_ROWS = 4096
"""Rows of one row group: what a reader holds of a shard at a time, and reads for one item."""

MEDIUM_CODES: tuple[Medium, ...] = (Medium.IMAGE, Medium.AUDIO, Medium.VIDEO)
"""A medium's int8 code is its position here."""

ITEMS = pa.schema(
    [
        ("item_id", pa.int64()),
        ("uri", pa.string()),
        ("modality", pa.string()),
        ("bytes", pa.int64()),
        ("mtime", pa.float64()),
        ("sha256", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("duration_seconds", pa.float64()),
        ("caption", pa.string()),
    ]
)
REMOVED = pa.schema([("item_id", pa.int64())])
UPDATED = pa.schema([("item_id", pa.int64())])
FAILURES = pa.schema(
    [
        ("uri", pa.string()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("bytes", pa.int64()),
        ("mtime", pa.float64()),
        # Items of the same uri from this id on were embedded later: the failure is over.
        ("next_item_id", pa.int64()),
    ]
)

RESERVED_PREFIX = "source_"
"""Goes before a user's column that is called as one of the collection's own."""


def segments_schema(dim: int) -> pa.Schema:
    """Columns of `segments/SPACE`; the embedding is dim float16."""
    return pa.schema(
        [
            ("item_id", pa.int64()),
            ("medium", pa.string()),
            ("start_seconds", pa.float32()),
            ("end_seconds", pa.float32()),
            ("embedding", pa.list_(pa.float16(), dim)),
        ]
    )


def frames_schema(dim: int) -> pa.Schema:
    """Columns of `frames/SPACE`; the embedding is dim float16."""
    return pa.schema(
        [
            ("item_id", pa.int64()),
            ("seconds", pa.float32()),
            ("embedding", pa.list_(pa.float16(), dim)),
        ]
    )


SPACE_SCHEMAS = {"segments": segments_schema, "frames": frames_schema}
"""Columns by dimension, for the two folders that hold a folder per space."""

SCHEMAS = {"items": ITEMS, "removed": REMOVED, "updated": UPDATED, "failures": FAILURES}
"""Columns of the files in the other folders. Files of items have user columns after these."""

NOT_NULL = frozenset(
    {
        "item_id", "uri", "modality", "medium", "embedding", "seconds",
        "stage", "reason", "next_item_id",
    }
)  # fmt: skip
"""Columns in which every row has a value."""


class UserColumns:
    """Names and types of the user columns of a collection.

    A column has one type, which later values may widen; see `retrieval.columns.types`.

    Args:
        types: The columns of the shards that exist.
        is_wide: Whether a column of these shards holds an integer of 2^53 or more.
        notices: Told what is stored under another name or in another form.
    """

    def __init__(
        self,
        types: Mapping[str, ColumnType] | None = None,
        is_wide: Callable[[str], bool] = lambda name: False,
        notices: Notices | None = None,
    ) -> None:
        self._types = dict(types or {})
        self._spelling: dict[str, str] = {
            name.casefold(): name for name in (*ITEMS.names, *self._types)
        }
        self._in_shards = frozenset(self._types)
        self._wide_in_shards = is_wide
        self._wide: set[str] = set()
        self.notices = notices or Notices()

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of their first values."""
        return tuple(self._types)

    def types(self) -> dict[str, ColumnType]:
        """Type of every column."""
        return dict(self._types)

    def items_schema(self) -> pa.Schema:
        """Columns of `items/`: the collection's own, then the user's."""
        fields = [pa.field(name, ARROW_TYPES[kind]) for name, kind in self._types.items()]
        return pa.schema([*ITEMS, *fields])

    # ------------------------------------------------------------ taking values

    def admit(self, info: MediaInfo) -> MediaInfo:
        """Take an item's columns: widen the types, and give back the item as it will be stored.

        Nothing that a column is called or holds is an error. A name that is taken becomes another,
        a value that no column holds becomes null, and `notices` says so.

        Raises:
            ColumnError: The uri or the caption is not Unicode text.
        """
        _check_unicode(ascii(info.uri), "the uri", info.uri)
        if info.caption is not None:
            _check_unicode(info.uri, "the caption", info.caption)
        columns: dict[str, Scalar] = {}
        for name, raw in self._renamed(info.uri, info.columns):
            value, problem = adapted(raw)
            if problem is not None:
                self.notices.add(f"column {name!r} is {problem}", place=info.uri)
            columns[name] = value
            if value is not None:
                self._widen(info.uri, name, value)
        return replace(info, columns=columns)

    def _widen(self, uri: str, name: str, value: Scalar) -> None:
        new = type_of(value)
        known = self._types.get(name)
        if is_wide(value):
            self._wide.add(name)
        if known is None:
            self._types[name] = new
            self._spelling[name.casefold()] = name
            return
        if known is new:
            return
        both = {known, new} == {ColumnType.INT64, ColumnType.DOUBLE}
        kind = joined(known, new, wide=both and self._is_wide(name))
        self._types[name] = kind
        if kind is ColumnType.STRING:
            because = " (an integer of 2^53 or more is no double)" if both else ""
            self.notices.add(
                f"column {name!r} holds {known} and {new}{because}; it is stored as text", place=uri
            )
        elif kind is not known:
            self.notices.add(f"column {name!r} was {known} and is {kind} now", place=uri)

    def _is_wide(self, name: str) -> bool:
        if name not in self._wide and name in self._in_shards and self._wide_in_shards(name):
            self._wide.add(name)
        return name in self._wide

    # ------------------------------------------------------------ names

    def _renamed(self, uri: str, columns: Mapping[str, Scalar]) -> Iterator[tuple[str, Scalar]]:
        """The columns under names that are free, or that the collection knows as theirs."""
        # Names that need no change come first, so that no renamed column takes one of theirs.
        kept = [name for name in columns if self._is_free(name)]
        used: dict[str, str] = {}
        for name in (*kept, *(name for name in columns if not self._is_free(name))):
            new = (
                self._free_name(name, used) if name not in kept or name.casefold() in used else name
            )
            used[new.casefold()] = new
            if new != name:
                self._tell_renamed(uri, name, new)
            yield new, columns[name]

    def _is_free(self, name: str) -> bool:
        return bool(name) and name == clean_text(name) and self._spelled(name) == name

    def _spelled(self, name: str) -> str | None:
        """The name that SQL, which does not tell `Year` from `year`, takes this one for."""
        if name.casefold() in ITEMS.names:
            return None
        spelled: str = self._spelling.get(name.casefold(), name)
        return spelled

    def _free_name(self, name: str, used: Collection[str]) -> str:
        base = clean_text(name) or "unnamed"
        if base.casefold() in ITEMS.names:
            base = f"{RESERVED_PREFIX}{base}"
        candidate, number = base, 1
        while self._spelled(candidate) != candidate or candidate.casefold() in used:
            number += 1
            candidate = f"{base}_{number}"
        return candidate

    def _tell_renamed(self, uri: str, name: str, new: str) -> None:
        if not name:
            why = "a column without a name"
        elif name.casefold() in ITEMS.names:
            why = f"column {name!r} has a name of the collection's own"
        elif clean_text(name) != name:
            why = f"column {clean_text(name)!r} has a name that is not Unicode"
        else:
            why = f"column {name!r} differs from another in case only"
        self.notices.add(f"{why}; it is stored as {new!r}", place=uri)


def items_batch(
    first_item_id: int, infos: Sequence[MediaInfo], schema: pa.Schema
) -> pa.RecordBatch:
    """Rows of `items/`, with ids counted on from `first_item_id`.

    The columns of the items must have passed `UserColumns.admit`.
    """
    ids = pa.array(range(first_item_id, first_item_id + len(infos)), pa.int64())
    own = [
        pa.array([getattr(info, field.name) for info in infos], field.type)
        for field in list(ITEMS)[1:]
    ]
    users = [
        to_array([info.columns.get(field.name) for info in infos], column_type(field.type))
        for field in list(schema)[len(ITEMS) :]
    ]
    return pa.RecordBatch.from_arrays([ids, *own, *users], schema=schema)


def _check_unicode(uri: str, what: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ColumnError(f"{what} of {uri} is not Unicode text ({error.reason})") from error
