"""Writes and reads Parquet files in row groups of one size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from retrieval.columns.arrow import cast
from retrieval.errors import CollectionDamagedError, CollectionFormatError
from retrieval.files.reading import check_regular
from retrieval.store.schema import NOT_NULL, ROW_GROUP_ROWS, describe_columns

ROW_GROUP_BYTES = 64 << 20
"""Memory of the rows of a group, unless they arrive in larger batches."""


class Sink(Protocol):
    """A file that Arrow can write to."""

    @property
    def closed(self) -> bool:
        """Whether writing has ended."""
        ...

    def write(self, data: bytes | memoryview) -> int:
        """Write all of the data."""
        ...


def write_rows(sink: Sink, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """Write batches of any size as row groups of one size; return the number of rows."""
    rows = 0
    with pq.ParquetWriter(
        sink,
        schema,
        # Vectors do not compress, and plain ones are read without decoding.
        compression={leaf: "NONE" if "embedding" in leaf else "ZSTD" for leaf in _leaves(schema)},
        use_dictionary=[field.name for field in schema if pa.types.is_string(field.type)],
        write_statistics=["item_id"] if "item_id" in schema.names else False,
    ) as writer:
        for group in _regrouped(batches):
            writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
            rows += group.num_rows
    return rows


def read_rows(
    path: Path,
    schema: pa.Schema,
    *,
    columns: Sequence[str] | None = None,
    first_item_id: int = 0,
    last_item_id: int = 2**63 - 1,
    batch_rows: int | None = None,
) -> Iterator[pa.RecordBatch]:
    """Read a memory-mapped file in blocks and skip row groups without items of the range.

    Blocks can contain rows outside the range, because only whole row groups are skipped.

    Args:
        path: The file.
        schema: Columns that the file must have; it can have more.
        columns: Names of the columns to read; None reads all.
        first_item_id: First item of the range.
        last_item_id: Last item of the range, inclusive.
        batch_rows: Rows of a block, at most; by default those of a row group.

    Raises:
        CollectionDamagedError: The file is missing, unreadable, or lacks a required value.
        CollectionFormatError: A column is missing or has another type.
    """
    required = [field for field in schema if columns is None or field.name in columns]
    with _damage_errors(path), _open(path) as file:
        _check_columns(path, file.schema_arrow, required)
        groups = _row_groups(file.metadata, first_item_id, last_item_id)
        for batch in file.iter_batches(
            batch_rows or ROW_GROUP_ROWS, row_groups=groups, columns=columns
        ):
            batch.validate(full=True)  # Parquet readers do not check UTF-8
            _check_values(path, batch, required)
            yield batch


def _check_columns(path: Path, schema: pa.Schema, required: Iterable[pa.Field]) -> None:
    for field in required:
        position = schema.get_field_index(field.name)
        if position < 0 or schema.field(position).type != field.type:
            raise CollectionFormatError(
                f"{path} has the columns {describe_columns(schema)}; expected {field.name} "
                f"{field.type} among them; restore the file from a copy"
            )


def _check_values(path: Path, batch: pa.RecordBatch, required: Iterable[pa.Field]) -> None:
    for field in required:
        if field.name in NOT_NULL and batch.column(field.name).null_count:
            raise CollectionDamagedError(
                f"{path} has rows without {field.name}; restore the file from a copy"
            )


def read_schema(path: Path) -> pa.Schema:
    """Read the columns of a file, without its rows.

    Raises:
        CollectionDamagedError: The file is missing, or its footer cannot be read.
    """
    with _damage_errors(path):
        check_regular(path)
        return pq.read_schema(path, memory_map=True).remove_metadata()


def with_columns(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Convert a batch to a schema; columns that the batch lacks are null.

    Raises:
        CollectionDamagedError: A value does not fit the type of its column.
    """
    arrays = []
    for field in schema:
        if field.name not in batch.schema.names:
            arrays.append(pa.nulls(batch.num_rows, field.type))
            continue
        try:
            arrays.append(cast(batch.column(field.name), field.type))
        except pa.ArrowException as error:
            raise CollectionDamagedError(
                f"column {field.name!r} holds a value that is not a {field.type} "
                f"({_first_line(error)}); verify the collection and restore the items from a copy"
            ) from error
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def has_content(path: Path, schema: pa.Schema, rows: int) -> bool:
    """Whether a file has these columns and this number of rows."""
    with _damage_errors(path), _open(path) as file:
        columns = file.schema_arrow.remove_metadata()
        return bool(columns.equals(schema) and file.metadata.num_rows == rows)


def _open(path: Path) -> pq.ParquetFile:
    check_regular(path)
    return pq.ParquetFile(path, memory_map=True)


def _leaves(schema: pa.Schema) -> list[str]:
    return [
        f"{field.name}.list.element" if pa.types.is_fixed_size_list(field.type) else field.name
        for field in schema
    ]


def _regrouped(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield the rows in tables of `ROW_GROUP_ROWS` rows; the last one can be shorter.

    Tables of large values are shorter, too, so that readers need little memory.
    """
    pending: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        pending.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if size >= ROW_GROUP_BYTES and rows < ROW_GROUP_ROWS:
            yield pa.Table.from_batches(pending)
            pending, rows, size = [], 0, 0
        while rows >= ROW_GROUP_ROWS:
            table = pa.Table.from_batches(pending)
            yield table.slice(0, ROW_GROUP_ROWS)
            pending = table.slice(ROW_GROUP_ROWS).to_batches()
            rows -= ROW_GROUP_ROWS
            size = sum(each.nbytes for each in pending)
    if rows:
        yield pa.Table.from_batches(pending)


def _row_groups(metadata: pq.FileMetaData, first_item_id: int, last_item_id: int) -> list[int]:
    """Return the row groups that can hold items of the range, by the statistics of `item_id`."""
    groups = []
    for number in range(metadata.num_row_groups):
        column = metadata.row_group(number).column(0)
        ids = column.statistics if column.path_in_schema == "item_id" else None
        if (
            ids is None
            or not ids.has_min_max
            or (ids.max >= first_item_id and ids.min <= last_item_id)
        ):
            groups.append(number)
    return groups


@contextmanager
def _damage_errors(path: Path) -> Iterator[None]:
    """Convert errors of reading a file into a `CollectionDamagedError` that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise CollectionDamagedError(
            f"{path} is missing; open the collection again if it was compacted meanwhile, "
            "otherwise restore the file from a copy"
        ) from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise CollectionDamagedError(
            f"{path} cannot be read ({_first_line(error)}); verify the collection and restore "
            "the file from a copy"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
