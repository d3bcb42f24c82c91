"""Reads the columns of items by id: mapped from the index, newer items in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retrieval.errors import IndexFileError
from retrieval.search.index_files import ITEMS, MEDIUM_NAMES, damaged, open_arrow
from retrieval.search.item_rows import ItemRows
from retrieval.store.reader import Snapshot
from retrieval.types import Medium, Scalar

Value = TypeVar("Value", bound=np.generic)

HIDDEN = frozenset({"item_id", "uri", "modality", "bytes", "mtime", "sha256"})
"""Columns that are not part of a hit's metadata."""

MEDIA: dict[Scalar, Medium] = {str(medium): medium for medium in Medium}

UNREAD = HIDDEN - {"item_id", "uri", "modality"}
"""Columns that no hit shows."""


class ItemTable:
    """The living items of a snapshot in id order.

    Attributes:
        item_ids: (items,) int64, ascending.
        modalities: (items,) int8 modality codes.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        # The index of every space contains a table of its items. Use the longest one.
        folders = [snapshot.index_folders(space.name) for space in snapshot.spaces]
        mapped = [[_open_items(folder / ITEMS) for folder in parts] for parts in folders]
        tables = max(mapped, key=_last_id, default=[])
        last = _last_id(tables)
        newer = list(snapshot.iter_items(after_item_id=last))
        if newer:
            tables.append(pa.Table.from_batches(newer))
        types = {field.name: field.type for field in snapshot.items_schema()}
        self._names = list(types)
        self._rows = ItemRows(tables, types)
        updated = _updated_items(snapshot, last)
        self._updated = ItemRows([updated], types)
        self._updated_ids = updated.column("item_id").to_numpy()
        self.item_ids = _ids(tables)
        codes = [
            modality_codes(chunk) for table in tables for chunk in table.column("modality").chunks
        ]
        self.modalities: NDArray[np.int8] = np.concatenate([np.empty(0, np.int8), *codes])

    def modalities_of(self, item_ids: NDArray[np.int64]) -> NDArray[np.int8]:
        """Return the modality codes of items; -1 for other ids."""
        return self.spread(self.modalities, item_ids, np.int8(-1))

    def spread(
        self, values: NDArray[Value], item_ids: NDArray[np.int64], default: Value
    ) -> NDArray[Value]:
        """Assign values of the living items, in id order, to rows by item id.

        Args:
            values: (items,).
            item_ids: (rows,) item id of each row.
            default: Value of rows whose item does not exist.

        Returns:
            (rows,).
        """
        return spread(self.item_ids, values, item_ids, default)

    def rows(self, item_ids: Sequence[int]) -> list[tuple[str, Medium, dict[str, Scalar]]]:
        """Read uri, modality and non-null metadata of items.

        Raises:
            IndexFileError: A table is damaged.
        """
        result = []
        positions = np.searchsorted(self.item_ids, np.asarray(item_ids, np.int64)).tolist()
        for item_id, position in zip(item_ids, positions, strict=True):
            metadata = self._row(position, UNREAD)
            uri, medium = metadata.pop("uri", None), MEDIA.get(metadata.pop("modality", None))
            if metadata.pop("item_id", None) != item_id or uri is None or medium is None:
                raise _damaged_items(f"item {item_id} is missing or has no uri or modality")
            result.append((str(uri), medium, metadata))
        return result

    def record(self, item_id: int) -> dict[str, Scalar] | None:
        """Read all columns of one item; None if there is no item of this id.

        Raises:
            IndexFileError: A table is damaged.
        """
        position = int(np.searchsorted(self.item_ids, item_id))
        if position == len(self.item_ids) or self.item_ids[position] != item_id:
            return None
        return {**dict.fromkeys(self._names), **self._row(position)}

    def _row(self, position: int, omitted: frozenset[str] = frozenset()) -> dict[str, Scalar]:
        """Read the values of an item that are not null."""
        rows = self._rows
        if len(self._updated_ids):
            item_id = self.item_ids[position]
            updated = int(np.searchsorted(self._updated_ids, item_id))
            if updated < len(self._updated_ids) and self._updated_ids[updated] == item_id:
                rows, position = self._updated, updated
        try:
            return rows.row(position, omitted)
        except (ValueError, OverflowError, pa.ArrowException) as error:
            raise _damaged_items(" ".join(str(error).split())) from error


def spread(
    known_ids: NDArray[np.int64],
    values: NDArray[Value],
    item_ids: NDArray[np.int64],
    default: Value,
) -> NDArray[Value]:
    """Assign values of items to rows by item id.

    Args:
        known_ids: (items,) ascending.
        values: (items,).
        item_ids: (rows,) item id of each row.
        default: Value of rows whose item is not known.

    Returns:
        (rows,).
    """
    if not len(known_ids):
        return np.full(len(item_ids), default)
    positions = _positions(known_ids, item_ids)
    return np.where(known_ids[positions] == item_ids, values[positions], default)


def _damaged_items(reason: str) -> IndexFileError:
    return IndexFileError(
        f"a table of items is damaged ({reason}); verify the collection to find the file, "
        "then build the index again"
    )


def _open_items(path: Path) -> pa.Table:
    """Map items.arrow, and validate the columns that every search reads.

    Raises:
        IndexFileError: The file is missing or damaged.
    """
    table = open_arrow(path)
    types = {"item_id": pa.int64(), "modality": pa.dictionary(pa.int8(), pa.string())}
    for name, arrow_type in types.items():
        position = table.schema.get_field_index(name)
        if position < 0 or table.schema.field(position).type != arrow_type:
            raise damaged(path, f"it has no column {name!r} of {arrow_type}")
        try:
            table.column(position).validate(full=True)
        except pa.ArrowException as error:
            raise damaged(path, " ".join(str(error).split())) from error
    ids = table.column("item_id").to_numpy()
    if (ids[1:] <= ids[:-1]).any() or (ids[:1] < 0).any():
        raise damaged(path, "its item ids are not ascending")
    return table


def _updated_items(snapshot: Snapshot, last_item_id: int) -> pa.Table:
    """Read the items, up to an id, whose columns changed after an index copied them."""
    folders = [folder for space in snapshot.spaces for folder in snapshot.index_folders(space.name)]
    oldest = min((int(folder.name) for folder in folders), default=2**63)
    ids = snapshot.updated_ids(oldest)
    batches = snapshot.items(ids[ids <= last_item_id])
    return pa.Table.from_batches(batches, snapshot.items_schema())


def _last_id(tables: Sequence[pa.Table]) -> int:
    """Return the last id of tables in item order; -1 without items."""
    filled = [table for table in tables if table.num_rows]
    return int(filled[-1].column("item_id")[-1].as_py()) if filled else -1


def _ids(tables: Sequence[pa.Table]) -> NDArray[np.int64]:
    """Return the ids of all rows, ascending. Consecutive ids are generated instead of read."""
    filled = [table.column("item_id") for table in tables if table.num_rows]
    if not filled:
        return np.empty(0, np.int64)
    first, last = filled[0][0].as_py(), filled[-1][-1].as_py()
    if last - first + 1 == sum(map(len, filled)):
        return np.arange(first, last + 1)
    return np.concatenate([column.to_numpy() for column in filled])


def modality_codes(modalities: pa.Array) -> NDArray[np.int8]:
    """Return positions in `MEDIUM_CODES`: stored codes of an index, or of names in a shard."""
    if pa.types.is_dictionary(modalities.type):
        mapped: NDArray[np.int8] = modalities.indices.to_numpy()
        return mapped
    codes: NDArray[np.int8] = pc.index_in(modalities, MEDIUM_NAMES).to_numpy().astype(np.int8)
    return codes


def _positions(ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find ids among ascending ones; subtraction suffices if these are consecutive."""
    positions: NDArray[np.int64] = wanted - ids[0]
    if ids[-1] - ids[0] + 1 != len(ids):
        positions = np.searchsorted(ids, wanted)
    return positions.clip(0, len(ids) - 1)
