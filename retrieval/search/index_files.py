"""The Arrow files beside an index: what its rows are, and what is known of their items."""

from __future__ import annotations

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

ROWS = pa.schema(
    [
        pa.field("item_id", pa.int64(), nullable=False),
        pa.field("medium", pa.int8(), nullable=False),
        pa.field("start_seconds", pa.float32(), nullable=False),
        pa.field("end_seconds", pa.float32(), nullable=False),
    ]
)

PLACE = pa.field("place", pa.int64(), nullable=False)
"""The number of a row's vector in the index; only where some rows are equal."""

MEDIUM_NAMES = pa.array([str(medium) for medium in MEDIUM_CODES])
"""Names of the codes that stand for media and modalities."""


class RowTable:
    """What the rows of an index are, by row position: parallel arrays.

    Attributes:
        item_ids: (rows,) int64, ascending.
        media: (rows,) int8 codes: 0 image, 1 audio, 2 video.
        start_seconds: (rows,) float32, NaN for an image.
        end_seconds: (rows,) float32, NaN for an image.
        places: (rows,) int64, the number of each row's vector; None where all vectors differ.
    """

    def __init__(
        self,
        item_ids: NDArray[np.int64],
        media: NDArray[np.int8],
        start_seconds: NDArray[np.float32],
        end_seconds: NDArray[np.float32],
        places: NDArray[np.int64] | None = None,
    ) -> None:
        self.item_ids = item_ids
        self.media = media
        self.start_seconds = start_seconds
        self.end_seconds = end_seconds
        self.places = places

    @classmethod
    def of_blocks(
        cls, blocks: list[SegmentBlock], places: NDArray[np.int64] | None = None
    ) -> RowTable:
        """Join the rows of streamed blocks, without their vectors."""
        return cls(
            np.concatenate([np.empty(0, np.int64), *(b.item_ids for b in blocks)]),
            np.concatenate([np.empty(0, np.int8), *(b.media for b in blocks)]),
            np.concatenate([np.empty(0, np.float32), *(b.start_seconds for b in blocks)]),
            np.concatenate([np.empty(0, np.float32), *(b.end_seconds for b in blocks)]),
            places,
        )

    @classmethod
    def open(cls, path: Path) -> RowTable:
        """Map rows.arrow, and look through its numbers once.

        Raises:
            IndexFileError: Missing or damaged; of flipped bits, what a search would stumble over.
        """
        table = open_arrow(path)
        fits = table.schema in (ROWS, ROWS.append(PLACE))
        if not fits or any(column.null_count for column in table.columns):
            raise damaged(path, "its columns are not those of rows, or have gaps")
        rows = cls(*map(_numpy, table.columns))
        if (rows.item_ids[1:] < rows.item_ids[:-1]).any() or (rows.item_ids[:1] < 0).any():
            raise damaged(path, "its item ids do not ascend")
        if ((rows.media < 0) | (rows.media >= len(MEDIUM_CODES))).any():
            raise damaged(path, "a row is of no known medium")
        if rows.places is not None and not _numbered(rows.places):
            raise damaged(path, "its rows are not those of the vectors")
        return rows

    def write(self, path: Path) -> None:
        """Write rows.arrow as one record batch, so that it maps to whole arrays."""
        arrays: list[NDArray[Any]] = [
            self.item_ids,
            self.media,
            self.start_seconds,
            self.end_seconds,
        ]
        schema = ROWS
        if self.places is not None:
            arrays, schema = [*arrays, self.places], ROWS.append(PLACE)
        batch = pa.RecordBatch.from_arrays([pa.array(array) for array in arrays], schema=schema)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            writer.write_batch(batch)

    def __len__(self) -> int:
        return len(self.item_ids)


def write_items(snapshot: Snapshot, path: Path, after: int, last: int) -> None:
    """Write items.arrow: the columns of the living items `after` < id <= `last`, in id order.

    Modalities are int8 codes there.
    """
    schema = snapshot.items_schema()
    place = schema.get_field_index("modality")
    schema = schema.set(place, pa.field("modality", pa.dictionary(pa.int8(), pa.string())))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for batch in snapshot.iter_items(after_item_id=after):
            ids = batch.column("item_id").to_numpy()
            batch = batch.slice(0, int(np.searchsorted(ids, last, side="right")))
            codes = pc.index_in(batch.column(place), MEDIUM_NAMES).cast(pa.int8())
            named = pa.DictionaryArray.from_arrays(codes, MEDIUM_NAMES)
            writer.write_batch(batch.set_column(place, schema.field(place), named))


def damaged(path: Path, what: str) -> IndexFileError:
    """The error of a file of an index that cannot be right."""
    return IndexFileError(f"{path} is damaged ({what}); build it again with: retrieval index")


def open_arrow(path: Path) -> pa.Table:
    """Map an Arrow file.

    Raises:
        IndexFileError: Missing or damaged.
    """
    try:
        check_regular(path)
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        table.validate()
    except (OSError, pa.ArrowException, ValueError, LookupError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise IndexFileError(
            f"{path} cannot be read ({reason}); build it again with: retrieval index"
        ) from error
    return table


def _numbered(places: NDArray[np.int64]) -> bool:
    """Whether places are 0, 1, 2 … with none left out, in any order."""
    within = not len(places) or (places.min() >= 0 and places.max() < len(places))
    return bool(within and np.bincount(places)[: places.max(initial=-1) + 1].all())


def _numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    if column.num_chunks == 1:
        mapped: NDArray[Any] = column.chunk(0).to_numpy(zero_copy_only=True)
        return mapped
    joined: NDArray[Any] = column.to_numpy()
    return joined
