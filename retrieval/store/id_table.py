"""Writes the table of old and new ids beside collections that were merged or split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from retrieval.errors import CollectionDamagedError
from retrieval.files.writing import write_atomically
from retrieval.store.appending import Addition
from retrieval.store.blocks import id_array, isin_sorted
from retrieval.store.shards import read_schema, write_rows
from retrieval.store.versions import Superseded

IDS_SUFFIX = "-ids.parquet"
"""The name of the table is that of the collection with this suffix."""

ID_TABLE = pa.schema(
    [
        ("collection", pa.string()),
        ("old_item_id", pa.int64()),
        ("new_item_id", pa.int64()),
        ("uri", pa.string()),
    ]
)
"""Columns of the table. The new item of an older version is the newest one of the same uri."""


def is_id_table(path: Path) -> bool:
    """Whether a file is a table of ids."""
    try:
        return bool(read_schema(path).equals(ID_TABLE))
    except CollectionDamagedError:
        return False


def write_id_table(
    path: Path,
    additions: Sequence[Addition],
    superseded: Sequence[Superseded] = (),
    names: Sequence[str] = (),
) -> None:
    """Write one row for each old item, in the order of the collections and old ids.

    Args:
        path: The file; replaced if it exists.
        additions: The items with their new ids.
        superseded: The items of the same collections that are left out; none by default.
        names: Values of `collection`; by default the folders of the old collections.

    Raises:
        StorageError: The disk refused.
    """
    with write_atomically(path) as file:
        write_rows(file, ID_TABLE, _rows(additions, superseded, names))


def _rows(
    additions: Sequence[Addition], superseded: Sequence[Superseded], names: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    for number, addition in enumerate(additions):
        name = names[number] if names else str(addition.snapshot.root)
        old, new = addition.item_ids, addition.new_ids(addition.item_ids)
        if superseded:
            older = superseded[number]
            newest = np.empty(len(older.item_ids), np.int64)
            for position, other in enumerate(additions):
                mask = older.newest_input == position
                newest[mask] = other.new_ids(older.newest_ids[mask])
            order = np.argsort(np.concatenate([old, older.item_ids]))
            old = np.concatenate([old, older.item_ids])[order]
            new = np.concatenate([new, newest])[order]
        for batch in addition.snapshot.iter_columns(("item_id", "uri")):
            ids = id_array(batch)
            mask = isin_sorted(ids, old)
            columns = [
                pa.array([name] * int(mask.sum()), pa.string()),
                pa.array(ids[mask]),
                pa.array(new[np.searchsorted(old, ids[mask])]),
                batch.column("uri").filter(pa.array(mask)),
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=ID_TABLE)
