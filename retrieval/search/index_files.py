"""The files of one part of an index: their names, and the Arrow tables of rows and items."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retrieval.errors import IndexFileError
from retrieval.files.reading import check_regular
from retrieval.store.blocks import SegmentBlock
from retrieval.store.reader import Snapshot
from retrieval.store.schema import MEDIUM_CODES

EXACT = "exact.faiss"
APPROXIMATE = "part-000.faiss"
LISTS = "lists.npy"
ROWS = "rows.arrow"
ITEMS = "items.arrow"
CARD = "card.json"
PLOT = "trials.png"

ROW_SCHEMA = pa.schema(
    [
        pa.field("item_id", pa.int64(), nullable=False),
        pa.field("medium", pa.int8(), nullable=False),
        pa.field("start_seconds", pa.float32(), nullable=False),
        pa.field("end_seconds", pa.float32(), nullable=False),
    ]
)

PLACE = pa.field("place", pa.int64(), nullable=False)
"""Number of a row's vector in the index. The column exists only if some rows are equal."""

MEDIUM_NAMES = pa.array([str(medium) for medium in MEDIUM_CODES])
"""Names of the codes of media and modalities."""


@dataclass(eq=False, slots=True)
class RowTable:
    """The rows of an index as parallel arrays.

    Attributes:
        item_ids: (rows,) int64, ascending.
        media: (rows,) int8 codes: 0 image, 1 audio, 2 video.
        start_seconds: (rows,) float32, NaN for an image.
        end_seconds: (rows,) float32, NaN for an image.
        vector_numbers: (rows,) int64 number of each row's vector; None if all vectors differ.
    """

    item_ids: NDArray[np.int64]
    media: NDArray[np.int8]
    start_seconds: NDArray[np.float32]
    end_seconds: NDArray[np.float32]
    vector_numbers: NDArray[np.int64] | None = None

    @classmethod
    def of_blocks(
        cls, blocks: list[SegmentBlock], vector_numbers: NDArray[np.int64] | None = None
    ) -> RowTable:
        """Concatenate the rows of segment blocks, without their vectors."""
        return cls(
            np.concatenate([np.empty(0, np.int64), *(b.item_ids for b in blocks)]),
            np.concatenate([np.empty(0, np.int8), *(b.media for b in blocks)]),
            np.concatenate([np.empty(0, np.float32), *(b.start_seconds for b in blocks)]),
            np.concatenate([np.empty(0, np.float32), *(b.end_seconds for b in blocks)]),
            vector_numbers,
        )

    @classmethod
    def open(cls, path: Path) -> RowTable:
        """Map rows.arrow, and check the values that searches rely on.

        Raises:
            IndexFileError: The file is missing or damaged.
        """
        table = open_arrow(path)
        known = table.schema in (ROW_SCHEMA, ROW_SCHEMA.append(PLACE))
        if not known or any(column.null_count for column in table.columns):
            raise damaged(path, "its columns are not those of rows, or contain nulls")
        rows = cls(*map(_to_numpy, table.columns))
        if (rows.item_ids[1:] < rows.item_ids[:-1]).any() or (rows.item_ids[:1] < 0).any():
            raise damaged(path, "its item ids are not ascending")
        if ((rows.media < 0) | (rows.media >= len(MEDIUM_CODES))).any():
            raise damaged(path, "it contains an unknown medium")
        if rows.vector_numbers is not None and not _are_consecutive(rows.vector_numbers):
            raise damaged(path, "its rows do not match the vectors")
        return rows

    def write(self, path: Path) -> None:
        """Write rows.arrow as one record batch, so that it can be mapped as whole arrays."""
        arrays = [self.item_ids, self.media, self.start_seconds, self.end_seconds]
        schema = ROW_SCHEMA
        if self.vector_numbers is not None:
            arrays, schema = [*arrays, self.vector_numbers], ROW_SCHEMA.append(PLACE)
        batch = pa.RecordBatch.from_arrays([pa.array(array) for array in arrays], schema=schema)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            writer.write_batch(batch)

    def __len__(self) -> int:
        return len(self.item_ids)


def write_items(snapshot: Snapshot, path: Path, after: int, last: int) -> None:
    """Write items.arrow: the columns of living items with `after` < id <= `last`, in id order.

    Modalities are stored as int8 codes.
    """
    schema = snapshot.items_schema()
    position = schema.get_field_index("modality")
    schema = schema.set(position, pa.field("modality", pa.dictionary(pa.int8(), pa.string())))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for batch in snapshot.iter_items(after_item_id=after):
            ids = batch.column("item_id").to_numpy()
            batch = batch.slice(0, int(np.searchsorted(ids, last, side="right")))
            codes = pc.index_in(batch.column(position), MEDIUM_NAMES).cast(pa.int8())
            named = pa.DictionaryArray.from_arrays(codes, MEDIUM_NAMES)
            writer.write_batch(batch.set_column(position, schema.field(position), named))


def damaged(path: Path, reason: str) -> IndexFileError:
    """Create the error for a damaged file of an index."""
    return IndexFileError(f"{path} is damaged ({reason}); build the index again")


def open_arrow(path: Path) -> pa.Table:
    """Map an Arrow file.

    Raises:
        IndexFileError: The file is missing or damaged.
    """
    try:
        check_regular(path)
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        table.validate()
    except (OSError, pa.ArrowException, ValueError, LookupError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise IndexFileError(f"{path} cannot be read ({reason}); build the index again") from error
    return table


def _are_consecutive(numbers: NDArray[np.int64]) -> bool:
    """Whether the numbers are 0, 1, 2 … without a gap, in any order."""
    within = not len(numbers) or (numbers.min() >= 0 and numbers.max() < len(numbers))
    return bool(within and np.bincount(numbers)[: numbers.max(initial=-1) + 1].all())


def _to_numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    if column.num_chunks == 1:
        mapped: NDArray[Any] = column.chunk(0).to_numpy(zero_copy_only=True)
        return mapped
    joined: NDArray[Any] = column.to_numpy()
    return joined
