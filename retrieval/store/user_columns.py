"""Names and types of the user columns of a collection."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from retrieval.columns.arrow import ARROW_TYPES, column_type
from retrieval.columns.notices import Notices
from retrieval.columns.types import (
    EXACT_INTEGERS,
    ColumnType,
    clean_text,
    common_type,
    convert_value,
    is_wide,
    type_of,
)
from retrieval.errors import ColumnError
from retrieval.store.schema import ITEMS, items_batch
from retrieval.types import MediaInfo, Scalar

RESERVED_PREFIX = "source_"
"""Prefix of a user column whose name the collection uses itself."""


_PLAIN_TYPES = {
    str: ColumnType.STRING,
    bool: ColumnType.BOOL,
    int: ColumnType.INT64,
    float: ColumnType.DOUBLE,
}
"""Column types of the Python types whose values are mostly stored as they are."""


class UserColumns:
    """Names and types of the user columns of a collection.

    A column has one type, which later values may widen; see `retrieval.columns.types`.

    Args:
        types: The columns of the existing shards.
        is_wide: Whether a column of these shards holds an integer of 2^53 or more.
        notices: Receives a notice for each column that is stored under another name or in another
            form.
    """

    def __init__(
        self,
        types: Mapping[str, ColumnType] | None = None,
        is_wide: Callable[[str], bool] = lambda name: False,
        notices: Notices | None = None,
    ) -> None:
        self._types = dict(types or {})
        self._names_by_folded: dict[str, str] = {
            name.casefold(): name for name in (*ITEMS.names, *self._types)
        }
        self._in_shards = frozenset(self._types)
        self._is_wide_in_shards = is_wide
        self._wide: set[str] = set()
        self._adopted: dict[str, list[tuple[UserColumns, str]]] = {}
        self.notices = notices or Notices()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in the order of their first values."""
        return tuple(self._types)

    def types(self) -> dict[str, ColumnType]:
        """Return the type of every column."""
        return dict(self._types)

    def items_schema(self) -> pa.Schema:
        """Return the columns of `items/`: the collection's own, then the user columns."""
        fields = [pa.field(name, ARROW_TYPES[type_]) for name, type_ in self._types.items()]
        return pa.schema([*ITEMS, *fields])

    # ------------------------------------------------------------ values

    def register(self, info: MediaInfo) -> MediaInfo:
        """Add the columns of an item and return the item as it is stored.

        Types widen where needed. Names that are in use are changed and values that no column holds
        become null; each adds a notice.

        Raises:
            ColumnError: The uri or the caption is not Unicode text.
        """
        _check_unicode("the uri", info.uri, ascii(info.uri))
        if info.caption is not None:
            _check_unicode("the caption", info.caption, info.uri)
        if self._holds_item(info.columns):
            return replace(info, caption=None) if info.caption == "" else info
        columns: dict[str, Scalar] = {}
        for name, raw in self._with_free_names(info.uri, info.columns):
            value, problem = convert_value(raw)
            if problem is not None:
                self.notices.add(f"column {name!r} is {problem}", location=info.uri)
            columns[name] = value
            if value is not None:
                self._widen(info.uri, name, value)
        return replace(info, caption=info.caption or None, columns=columns)

    def adopt(self, other: UserColumns, source: str) -> dict[str, str]:
        """Add the columns of another collection.

        Args:
            other: Its columns.
            source: The collection, for notices.

        Returns:
            The name here of each of its columns.
        """
        names = {}
        types = other.types()
        for name, old in self._with_free_names(source, {name: name for name in types}):
            names[str(old)] = name
            self._adopted.setdefault(name, []).append((other, str(old)))
            self._add_type(source, name, types[str(old)])
        return names

    def _holds_item(self, columns: Mapping[str, Scalar]) -> bool:
        """Whether the columns of an item exist and hold its values as they are.

        Most items are like those before them, and this takes a fraction of the time of the general
        case.
        """
        for name, value in columns.items():
            known = self._types.get(name)
            if known is None or _PLAIN_TYPES.get(type(value)) is not known:
                return False
            if isinstance(value, str):
                if not value.isascii():
                    return False
            elif not -EXACT_INTEGERS < value < EXACT_INTEGERS:  # type: ignore[operator]
                return False
        return True

    def stored_values(self, info: MediaInfo) -> dict[str, Scalar]:
        """Add the columns of an item; return their values under the names and types of the store.

        Raises:
            ColumnError: The uri or the caption is not Unicode text.
        """
        info = self.register(info)
        row: dict[str, Scalar] = items_batch(0, [info], self.items_schema()).to_pylist()[0]
        return {name: row[name] for name in info.columns if name in row}

    # ------------------------------------------------------------ batches

    def holds(self, columns: Mapping[str, pa.Array]) -> bool:
        """Whether `register` would change no name, type or value of these columns."""
        if len({name.casefold() for name in columns}) < len(columns):
            return False
        return all(
            self._is_free(name) and self._holds_values(name, column)
            for name, column in columns.items()
        )

    def _holds_values(self, name: str, column: pa.Array) -> bool:
        if column.null_count == len(column):
            return True
        known, new = self._types.get(name), column_type(column.type)
        if known is ColumnType.DOUBLE and new is ColumnType.INT64:
            return not _has_wide(column)
        return known is None or known is new

    def register_batch(self, items: pa.RecordBatch) -> pa.RecordBatch:
        """Add the user columns of items, and return the items without columns that are all null.

        Args:
            items: The columns of `ITEMS` without `item_id`, then user columns that `holds` accepts.
        """
        names = items.schema.names
        fixed, user = names[: len(ITEMS) - 1], names[len(ITEMS) - 1 :]
        filled = [name for name in user if items.column(name).null_count < items.num_rows]
        # As for single items, the order of new columns is that of their first values.
        for name in sorted(filled, key=lambda name: _first_value_row(items.column(name))):
            column = items.column(name)
            if name not in self._types:
                self._types[name] = column_type(column.type)
                self._names_by_folded[name.casefold()] = name
            if pa.types.is_int64(column.type) and _has_wide(column):
                self._wide.add(name)
        return items.select([*fixed, *filled])

    # ------------------------------------------------------------ types

    def _widen(self, uri: str, name: str, value: Scalar) -> None:
        if is_wide(value):
            self._wide.add(name)
        self._add_type(uri, name, type_of(value))

    def _add_type(self, uri: str, name: str, new: ColumnType) -> None:
        known = self._types.get(name)
        if known is None:
            self._types[name] = new
            self._names_by_folded[name.casefold()] = name
            return
        if known is new:
            return
        mixed = {known, new} == {ColumnType.INT64, ColumnType.DOUBLE}
        type_ = common_type(known, new, wide=mixed and self._is_wide(name))
        self._types[name] = type_
        if type_ is ColumnType.STRING:
            reason = " (a double cannot hold an integer of 2^53 or more)" if mixed else ""
            self.notices.add(
                f"column {name!r} holds {known} and {new}{reason}; it is stored as text",
                location=uri,
            )
        elif type_ is not known:
            self.notices.add(f"column {name!r} changes from {known} to {type_}", location=uri)

    def _is_wide(self, name: str) -> bool:
        if name not in self._wide:
            in_shards = name in self._in_shards and self._is_wide_in_shards(name)
            if in_shards or any(other._is_wide(old) for other, old in self._adopted.get(name, [])):
                self._wide.add(name)
        return name in self._wide

    # ------------------------------------------------------------ names

    def _with_free_names(
        self, uri: str, columns: Mapping[str, Scalar]
    ) -> Iterator[tuple[str, Scalar]]:
        """Yield the columns under names that are free or already theirs."""
        # Names that can stay come first, so that no renamed column takes one of them.
        ordered = sorted(columns, key=lambda name: not self._is_free(name))
        used: set[str] = set()
        for name in ordered:
            keeps = self._is_free(name) and name.casefold() not in used
            new = name if keeps else self._free_name(name, used)
            used.add(new.casefold())
            if new != name:
                self._add_rename_notice(uri, name, new)
            yield new, columns[name]

    def _is_free(self, name: str) -> bool:
        return bool(name) and name == clean_text(name) and self._stored_name(name) == name

    def _stored_name(self, name: str) -> str | None:
        """Return the column that SQL, which ignores case, finds; None for the collection's own."""
        if name.casefold() in ITEMS.names:
            return None
        return self._names_by_folded.get(name.casefold(), name)

    def _free_name(self, name: str, used: Collection[str]) -> str:
        base = clean_text(name) or "unnamed"
        if base.casefold() in ITEMS.names:
            base = f"{RESERVED_PREFIX}{base}"
        new, number = base, 1
        while self._stored_name(new) != new or new.casefold() in used:
            number += 1
            new = f"{base}_{number}"
        return new

    def _add_rename_notice(self, uri: str, name: str, new: str) -> None:
        if not name:
            problem = "a column has no name"
        elif name.casefold() in ITEMS.names:
            problem = f"column {name!r} has a name that the collection uses itself"
        elif clean_text(name) != name:
            problem = f"column {clean_text(name)!r} has a name that is not Unicode"
        else:
            problem = f"column {name!r} differs from another in case only"
        self.notices.add(f"{problem}; it is stored as {new!r}", location=uri)


def _has_wide(column: pa.Array) -> bool:
    return any(
        value is not None and is_wide(value) for value in pc.min_max(column).as_py().values()
    )


def _first_value_row(column: pa.Array) -> int:
    return int(pc.index(column.is_valid(), True).as_py())


def _check_unicode(label: str, text: str, uri: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ColumnError(f"{label} of {uri} is not Unicode text ({error.reason})") from error
