"""Parquet files of a collection: row groups of one size, written and read one at a time."""

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
from retrieval.store.schema import NOT_NULL, ROW_GROUP_ROWS


class Sink(Protocol):
    """What Arrow writes to."""

    @property
    def closed(self) -> bool:
        """Whether writing has ended."""
        ...

    def write(self, data: bytes | memoryview) -> int:
        """Write all of the data."""
        ...


def write_rows(sink: Sink, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """Write batches of any size as row groups of one size; returns the rows written."""
    rows = 0
    with pq.ParquetWriter(
        sink,
        schema,
        # Vectors neither compress nor repeat: stored plainly, reading them is copying them.
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
) -> Iterator[pa.RecordBatch]:
    """Read a memory-mapped file in batches, skipping row groups without any item of the range.

    Batches can contain rows outside the range, because only whole row groups are skipped.

    Args:
        path: The file.
        schema: Columns that the file must have. It may have more: the user columns.
        columns: Names of the columns to read; None reads all.
        first_item_id: First item of the range.
        last_item_id: Last item of the range.

    Raises:
        CollectionDamagedError: The file is missing, unreadable, or lacks a required value.
        CollectionFormatError: A column is missing or has another type.
    """
    required = [field for field in schema if columns is None or field.name in columns]
    with _damage_named(path), _opened(path) as file:
        _check_columns(path, file.schema_arrow, required)
        groups = _row_groups(file.metadata, first_item_id, last_item_id)
        for batch in file.iter_batches(ROW_GROUP_ROWS, row_groups=groups, columns=columns):
            batch.validate(full=True)  # The reader accepts any bytes as text.
            _check_values(path, batch, required)
            yield batch


def _check_columns(path: Path, found: pa.Schema, required: Iterable[pa.Field]) -> None:
    for field in required:
        position = found.get_field_index(field.name)
        if position < 0 or found.field(position).type != field.type:
            columns = ", ".join(f"{each.name} {each.type}" for each in found)
            raise CollectionFormatError(
                f"{path} has the columns {columns}; expected {field.name} {field.type} "
                "among them; run verify, and restore the file from a copy"
            )


def _check_values(path: Path, batch: pa.RecordBatch, required: Iterable[pa.Field]) -> None:
    for field in required:
        if field.name in NOT_NULL and batch.column(field.name).null_count:
            raise CollectionDamagedError(
                f"{path} has rows without {field.name}; run verify, and restore it from a copy"
            )


def read_schema(path: Path) -> pa.Schema:
    """The columns of a file, without its rows.

    Raises:
        CollectionDamagedError: The file is missing, or its footer cannot be read.
    """
    with _damage_named(path):
        check_regular(path)
        return pq.read_schema(path, memory_map=True).remove_metadata()


def with_columns(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The same rows with all columns of a schema; one that the batch lacks is null.

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
                f"column {field.name!r} holds a value that is no {field.type} "
                f"({_first_line(error)}); run verify, and restore the items from a copy"
            ) from error
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def reads_as(path: Path, schema: pa.Schema, rows: int) -> bool:
    """Whether a file opens with these columns and this number of rows."""
    with _damage_named(path), _opened(path) as file:
        columns = file.schema_arrow.remove_metadata()
        return bool(columns.equals(schema) and file.metadata.num_rows == rows)


def _opened(path: Path) -> pq.ParquetFile:
    check_regular(path)
    return pq.ParquetFile(path, memory_map=True)


def _leaves(schema: pa.Schema) -> list[str]:
    return [
        f"{field.name}.list.element" if pa.types.is_fixed_size_list(field.type) else field.name
        for field in schema
    ]


def _regrouped(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The same rows in tables of ROW_GROUP_ROWS, the last one shorter."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        while rows >= ROW_GROUP_ROWS:
            table = pa.Table.from_batches(waiting)
            yield table.slice(0, ROW_GROUP_ROWS)
            waiting = table.slice(ROW_GROUP_ROWS).to_batches()
            rows -= ROW_GROUP_ROWS
    if rows:
        yield pa.Table.from_batches(waiting)


def _row_groups(metadata: pq.FileMetaData, first_item_id: int, last_item_id: int) -> list[int]:
    """Row groups that can hold items of the range; ids ascend in a file, and come first."""
    groups = []
    for number in range(metadata.num_row_groups):
        column = metadata.row_group(number).column(0)
        known = column.statistics if column.path_in_schema == "item_id" else None
        if (
            known is None
            or not known.has_min_max
            or (known.max >= first_item_id and known.min <= last_item_id)
        ):
            groups.append(number)
    return groups


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise CollectionDamagedError(
            f"{path} is missing; open the collection again if it was compacted meanwhile, "
            "else restore the file from a copy"
        ) from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise CollectionDamagedError(
            f"{path} cannot be read ({_first_line(error)}); run verify, and restore it from a copy"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
