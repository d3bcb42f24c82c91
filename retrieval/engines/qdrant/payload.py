"""Payload of points: the columns of items under keys, and their values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from retrieval.columns.types import ColumnType
from retrieval.search.items import HIDDEN
from retrieval.store.filters.parsing import ColumnTypes
from retrieval.types import Scalar

ITEM_ID, MODALITY, URI = "item_id", "modality", "uri"
MEDIUM, START, END, DIGEST = "medium", "start_seconds", "end_seconds", "row_digest"

ROW_KEYS = (MEDIUM, START, END, DIGEST)
"""Keys of a row. A user's column of such a name gets the prefix `source_`."""

ROW_INDEXES = {MEDIUM: "keyword", START: "float", END: "float"}

INDEX_TYPES = {
    ColumnType.STRING: "keyword",
    ColumnType.INT64: "integer",
    ColumnType.DOUBLE: "float",
    ColumnType.BOOL: "bool",
    ColumnType.TIMESTAMP: "datetime",
    ColumnType.DATE: "datetime",
}
"""Qdrant's types of payload indexes."""


@dataclass(frozen=True, slots=True)
class PayloadColumn:
    """A column of the items: its name, its key in the payload, and its type."""

    name: str
    key: str
    type: ColumnType

    @property
    def path(self) -> str:
        """The key as Qdrant's filters and indexes name it; a point would separate two keys."""
        return self.key if self.key.isidentifier() and self.key.isascii() else f'"{self.key}"'

    @property
    def is_addressable(self) -> bool:
        """Whether filters and indexes can name the key."""
        return '"' not in self.key


def payload_columns(types: ColumnTypes) -> tuple[PayloadColumn, ...]:
    """Assign a key to every column: its name, where the key of a row does not take it."""
    names = {name for name, _ in types}
    columns = []
    for name, type_ in types:
        key = name
        while key in ROW_KEYS or (key != name and key in names):
            key = f"source_{key}"
        columns.append(PayloadColumn(name, key, type_))
    return tuple(columns)


def item_payload(
    row: Mapping[str, Scalar], columns: Iterable[PayloadColumn]
) -> dict[str, str | int | float | bool]:
    """Return the payload of an item: its values that are not null, times as text in UTC."""
    payload: dict[str, str | int | float | bool] = {}
    for column in columns:
        value = row[column.name]
        if isinstance(value, date):  # or a datetime
            payload[column.key] = value.isoformat()
        elif value is not None:
            payload[column.key] = value
    return payload


def metadata_of(payload: Mapping[str, Any], columns: Sequence[PayloadColumn]) -> dict[str, Scalar]:
    """Return the columns of a hit, as a search of the collection does."""
    return {
        column.name: _value(payload[column.key], column.type)
        for column in columns
        if column.name not in HIDDEN and payload.get(column.key) is not None
    }


def _value(value: Any, type_: ColumnType) -> Scalar:
    """Convert a value of a payload back; JSON has no times, and writes 1.0 as 1 in places."""
    if type_ is ColumnType.DOUBLE:
        return float(value)
    if type_ is ColumnType.DATE:
        return date.fromisoformat(value)
    if type_ is ColumnType.TIMESTAMP:
        return datetime.fromisoformat(value).astimezone(UTC)
    return value  # type: ignore[no-any-return]
