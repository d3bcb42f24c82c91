"""Columns of the Parquet files, and the rules for columns that users bring along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

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

USER_TYPES: dict[type, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
}


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


class UserColumns:
    """Type of every user column of a collection: one each, fixed by its first value."""

    def __init__(self, types: Mapping[str, pa.DataType] | None = None) -> None:
        self._types = dict(types or {})
        self._spelling = {name.casefold(): name for name in (*ITEMS.names, *self._types)}

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of their first values."""
        return tuple(self._types)

    def admit(self, info: MediaInfo) -> None:
        """Check an item's columns, and remember the types of new ones.

        Raises:
            ColumnError: A reserved or empty name, another type than before, an integer over 64
                bits, or text that is not Unicode.
        """
        new: dict[str, pa.DataType] = {}
        for name, value in info.columns.items():
            self._check_name(name, new)
            _check_unicode(info.uri, "the name of a column", name)
            if value is None:
                continue
            kind = _type_of(info.uri, name, value)
            known = self._types.get(name, kind)
            if known != kind:
                raise ColumnError(
                    f"column {name!r} is {known} in this collection, {info.uri} brings {kind} "
                    f"({value!r}); use one type for it, or another name"
                )
            if name not in self._types:
                new[name] = kind
        _check_unicode(ascii(info.uri), "the uri", info.uri)
        if info.caption is not None:
            _check_unicode(info.uri, "the caption", info.caption)
        self._types |= new
        self._spelling |= {name.casefold(): name for name in new}

    def _check_name(self, name: str, new: Mapping[str, pa.DataType]) -> None:
        if not name:
            raise ColumnError("a column without a name; name it, or leave it out")
        # SQL does not tell `Year` from `year`, so a filter could mean neither for sure.
        taken = self._spelling.get(name.casefold(), name)
        if name.casefold() in ITEMS.names:
            raise ColumnError(
                f"column {name!r} is reserved: the collection has its own {taken} "
                f"({ITEMS.field(taken).type}); rename yours"
            )
        taken = next((other for other in new if other.casefold() == name.casefold()), taken)
        if taken != name:
            raise ColumnError(f"columns {taken!r} and {name!r} differ in case only; rename one")

    def items_schema(self) -> pa.Schema:
        """Columns of `items/`: the collection's own, then the user's."""
        return pa.schema([*ITEMS, *(pa.field(name, kind) for name, kind in self._types.items())])


def items_batch(
    first_item_id: int, infos: Sequence[MediaInfo], schema: pa.Schema
) -> pa.RecordBatch:
    """Rows of `items/`, with ids counted on from `first_item_id`."""
    own: dict[str, list[Scalar]] = {
        name: [getattr(info, name) for info in infos] for name in ITEMS.names[1:]
    }
    arrays = [pa.array(range(first_item_id, first_item_id + len(infos)), pa.int64())]
    for field in list(schema)[1:]:
        values = own.get(field.name) or [info.columns.get(field.name) for info in infos]
        arrays.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _type_of(uri: str, name: str, value: Scalar) -> pa.DataType:
    kind = USER_TYPES.get(type(value))
    if kind is None:
        raise ColumnError(
            f"column {name!r} of {uri} is {type(value).__name__}; expected text, a whole number, "
            "a number, or true or false"
        )
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ColumnError(f"column {name!r} of {uri} is {value}, over 64 bits; store it as text")
    if isinstance(value, str):
        _check_unicode(uri, f"column {name!r}", value)
    return kind


def _check_unicode(uri: str, what: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ColumnError(f"{what} of {uri} is not Unicode text ({error.reason})") from error
