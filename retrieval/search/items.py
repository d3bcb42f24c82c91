"""The items' own columns, by id: mapped from the index, newer ones in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retrieval.columns.arrow import cast
from retrieval.errors import IndexFileError
from retrieval.search.index_files import MEDIUM_NAMES, damaged, open_arrow
from retrieval.store.reader import Snapshot
from retrieval.types import Medium, Scalar

Value = TypeVar("Value", bound=np.generic)

HIDDEN = frozenset({"item_id", "uri", "modality", "bytes", "mtime", "sha256"})
"""Columns that are not shown as a hit's metadata."""


class ItemTable:
    """Living items of a snapshot in id order."""

    def __init__(self, snapshot: Snapshot) -> None:
        # Every space's index maps the items it covers: the one that covers the most is used.
        parts = [snapshot.index_folders(space.name) for space in snapshot.spaces]
        mapped = [[_open(folder / "items.arrow") for folder in folders] for folders in parts]
        tables = max(mapped, key=_last_id, default=[])
        last = _last_id(tables)
        fresh = list(snapshot.iter_items(after_item_id=last))
        if fresh:
            tables.append(pa.Table.from_batches(fresh))
        self._tables = tables
        self._types = {field.name: field.type for field in snapshot.items_schema()}
        self._renewed = _renewed(snapshot, last)
        self.item_ids = _ids(tables)
        codes = [_codes(chunk) for table in tables for chunk in table.column("modality").chunks]
        self.modalities: NDArray[np.int8] = np.concatenate([np.empty(0, np.int8), *codes])

    def modalities_of(self, item_ids: NDArray[np.int64]) -> NDArray[np.int8]:
        """Modality codes of items; -1 for ids that are no longer there."""
        return self.handed_on(self.modalities, item_ids, np.int8(-1))

    def handed_on(
        self, values: NDArray[Value], item_ids: NDArray[np.int64], gone: Value
    ) -> NDArray[Value]:
        """Values of the living items, in id order, by the ids of rows; `gone` for other ids."""
        if not len(self.item_ids):
            return np.full(len(item_ids), gone)
        places = _places(self.item_ids, item_ids)
        return np.where(self.item_ids[places] == item_ids, values[places], gone)

    def rows(self, item_ids: Sequence[int]) -> list[tuple[str, Medium, dict[str, Scalar]]]:
        """Uri, modality and metadata of some items; columns that are null are left out."""
        result = []
        places = np.searchsorted(self.item_ids, np.asarray(item_ids, np.int64)).tolist()
        for item_id, place in zip(item_ids, places, strict=True):
            row = self._row(place)
            if row["item_id"] != item_id or row["uri"] is None or row["modality"] is None:
                raise _damaged(f"item {item_id} is not where it should be")
            metadata: dict[str, Scalar] = {
                name: value
                for name, value in row.items()
                if name not in HIDDEN and value is not None
            }
            result.append((str(row["uri"]), Medium(str(row["modality"])), metadata))
        return result

    def _row(self, place: int) -> dict[str, Scalar]:
        item_id = int(self.item_ids[place])
        ids = self._renewed.column("item_id").to_numpy()
        newer = int(np.searchsorted(ids, item_id))
        if newer < len(ids) and ids[newer] == item_id:
            row: dict[str, Scalar] = self._renewed.slice(newer, 1).to_pylist()[0]
            return row
        for table in self._tables:
            if place < table.num_rows:
                # An index keeps the types of its time, which later shards may have widened.
                one = _looked_at(table.slice(place, 1))
                return {name: self._value(one, name) for name in one.column_names}
            place -= table.num_rows
        raise _damaged("an item is missing")

    def _value(self, row: pa.Table, name: str) -> Scalar:
        column = row.column(name)
        if name in self._types and not pa.types.is_dictionary(column.type):
            column = cast(column, self._types[name])
        value: Scalar = column[0].as_py()
        return value


def _looked_at(row: pa.Table) -> pa.Table:
    """One row, validated before it is read: offsets that a flipped bit changed lead anywhere."""
    try:
        row.validate(full=True)
    except pa.ArrowException as error:
        raise _damaged(" ".join(str(error).split())) from error
    return row


def _damaged(what: str) -> IndexFileError:
    return IndexFileError(
        f"a table of items is damaged ({what}); `retrieval verify` names the file, and an index is "
        "built again with: retrieval index"
    )


def _open(path: Path) -> pa.Table:
    """Map items.arrow; the columns that every search reads are looked through.

    Raises:
        IndexFileError: Missing or damaged.
    """
    table = open_arrow(path)
    types = {"item_id": pa.int64(), "modality": pa.dictionary(pa.int8(), pa.string())}
    for name, kind in types.items():
        place = table.schema.get_field_index(name)
        if place < 0 or table.schema.field(place).type != kind:
            raise damaged(path, f"it has no column {name!r} of {kind}")
        try:
            table.column(place).validate(full=True)
        except pa.ArrowException as error:
            raise damaged(path, " ".join(str(error).split())) from error
    ids = table.column("item_id").to_numpy()
    if (ids[1:] <= ids[:-1]).any() or (ids[:1] < 0).any():
        raise damaged(path, "its item ids do not ascend")
    return table


def _renewed(snapshot: Snapshot, last_item_id: int) -> pa.Table:
    """Items, up to an id, whose columns changed after an index took its copy of them."""
    folders = [folder for space in snapshot.spaces for folder in snapshot.index_folders(space.name)]
    oldest = min((int(folder.name) for folder in folders), default=2**63)
    ids = snapshot.updated_ids(oldest)
    batches = snapshot.items(ids[ids <= last_item_id])
    return pa.Table.from_batches(batches, snapshot.items_schema())


def _last_id(tables: Sequence[pa.Table]) -> int:
    """The last id of tables in item order; -1 where they hold none."""
    filled = [table for table in tables if table.num_rows]
    return int(filled[-1].column("item_id")[-1].as_py()) if filled else -1


def _ids(tables: Sequence[pa.Table]) -> NDArray[np.int64]:
    """Ids of all rows, ascending; where none is missing they are counted instead of read."""
    filled = [table.column("item_id") for table in tables if table.num_rows]
    if not filled:
        return np.empty(0, np.int64)
    first, last = filled[0][0].as_py(), filled[-1][-1].as_py()
    if last - first + 1 == sum(map(len, filled)):
        return np.arange(first, last + 1)
    return np.concatenate([column.to_numpy() for column in filled])


def _codes(modalities: pa.Array) -> NDArray[np.int8]:
    """Positions in `MEDIUM_CODES`: as the index holds them, or of names out of a shard."""
    if pa.types.is_dictionary(modalities.type):
        mapped: NDArray[np.int8] = modalities.indices.to_numpy()
        return mapped
    found: NDArray[np.int8] = pc.index_in(modalities, MEDIUM_NAMES).to_numpy().astype(np.int8)
    return found


def _places(ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where ids are, or would be, among ascending ones; by subtraction where none is missing."""
    places: NDArray[np.int64] = wanted - ids[0]
    if ids[-1] - ids[0] + 1 != len(ids):
        places = np.searchsorted(ids, wanted)
    return places.clip(0, len(ids) - 1)
