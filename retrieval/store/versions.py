"""Finds the items of several collections that are versions of the same file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.store.blocks import id_array, isin_sorted
from retrieval.store.reader import Snapshot


@dataclass(frozen=True, slots=True)
class Superseded:
    """Items of one collection of which another item of the same uri is the newest version.

    Attributes:
        item_ids: (n,) int64, ascending.
        newest_input: (n,) int64: position of the collection that has the newest version.
        newest_ids: (n,) int64: its id there.
    """

    item_ids: NDArray[np.int64]
    newest_input: NDArray[np.int64]
    newest_ids: NDArray[np.int64]


_NEWEST = """
    WITH repeated AS (SELECT uri FROM items GROUP BY uri HAVING count(*) > 1)
    SELECT input, item_id, first_value(input) OVER versions AS newest_input,
           first_value(item_id) OVER versions AS newest_id
    FROM items JOIN repeated USING (uri)
    WINDOW versions AS (PARTITION BY uri ORDER BY mtime DESC NULLS LAST, input, item_id DESC)
    QUALIFY row_number() OVER versions > 1
    ORDER BY input, item_id
"""


def superseded_items(snapshots: Sequence[Snapshot], scratch: Path) -> list[Superseded]:
    """Return the items of each collection that are not the newest version of their uri.

    The newest version has the latest modification time. At equal times it is that of the first
    collection.

    Args:
        snapshots: The collections.
        scratch: Folder for what does not fit into memory; created and deleted by DuckDB.
    """
    import duckdb

    with duckdb.connect(config={"temp_directory": str(scratch)}) as connection:
        connection.execute(
            "CREATE TABLE items (input BIGINT, item_id BIGINT, uri VARCHAR, mtime DOUBLE)"
        )
        for number, snapshot in enumerate(snapshots):
            schema = pa.schema([snapshot.items_schema().field(name) for name in _COLUMNS])
            batches = pa.RecordBatchReader.from_batches(schema, _living(snapshot))
            relation = connection.from_arrow(batches)
            relation.project(f"{number}, item_id, uri, mtime").insert_into("items")
        columns = connection.execute(_NEWEST).fetchnumpy()
    inputs, item_ids, newest_input, newest_ids = (
        np.asarray(columns[name], np.int64)
        for name in ("input", "item_id", "newest_input", "newest_id")
    )
    return [
        Superseded(item_ids[mask], newest_input[mask], newest_ids[mask])
        for mask in (inputs == number for number in range(len(snapshots)))
    ]


_COLUMNS = ("item_id", "uri", "mtime")


def _living(snapshot: Snapshot) -> Iterator[pa.RecordBatch]:
    removed = snapshot.removed_ids()
    for batch in snapshot.iter_columns(_COLUMNS):
        yield batch.filter(pa.array(~isin_sorted(id_array(batch), removed)))
