"""Reads one .npy or Parquet file of vectors in blocks, with the rows that describe them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from retrieval.columns.arrow import is_binary
from retrieval.columns.notices import Notices
from retrieval.errors import SourceError
from retrieval.exchange.descriptions import Descriptions
from retrieval.files.reading import check_regular
from retrieval.media.lists.formats import (
    BUFFER_BYTES,
    ListBlock,
    Row,
    named_columns,
    read_parquet_batches,
)
from retrieval.media.lists.rows import LIST_EXTENSIONS, read_table

BLOCK_ROWS = 4_096

VECTOR_COLUMNS = ("embedding", "vector", "image_embedding", "embeddings", "emb")
"""Names of the vector column if several columns could be it, in order of preference."""


@dataclass(frozen=True, slots=True)
class VectorBlock:
    """Consecutive rows of a file.

    Attributes:
        path: The file.
        first_row: Number of the first row in the file.
        vectors: (n, dim) of any float dtype; NaN where a row has no vector.
        descriptions: The descriptions of the n rows.
    """

    path: Path
    first_row: int
    vectors: NDArray[np.floating]
    descriptions: Descriptions

    @property
    def rows(self) -> list[Row]:
        """The descriptions as rows."""
        return self.descriptions.rows()


# ---------------------------------------------------------------- .npy


@dataclass(frozen=True, slots=True)
class NpyVectors:
    """A .npy file; `metadata` is the table that describes its rows, if any."""

    path: Path
    rows: int
    dim: int
    metadata: Path | None

    @classmethod
    def open(cls, path: Path, metadata: Path | None) -> NpyVectors:
        """Check the array and the number of rows of its table.

        Raises:
            SourceError: The array is damaged or not two-dimensional, or the table has another
                number of rows.
        """
        array = _open_array(path)
        if array.ndim and not len(array):
            array = array.reshape(0, 1)  # an empty file can have any shape
        is_numeric = array.dtype.kind in "fiu"
        if array.ndim != 2 or not is_numeric or not array.shape[1]:
            raise SourceError(
                f"{path} holds {array.dtype} of shape {array.shape}, expected (rows, dim) floats "
                "or integers"
            )
        if metadata is not None:
            rows = _count_rows(metadata)
            if rows != len(array):
                raise SourceError(
                    f"{path} holds {len(array)} vectors, {metadata} describes {rows}; "
                    "provide files that belong together"
                )
        return cls(path, len(array), int(array.shape[1]), metadata)

    def blocks(self, notices: Notices) -> Iterator[VectorBlock]:
        """Yield all rows in order."""
        array, first = _open_array(self.path), 0
        for descriptions in self._descriptions(notices):
            vectors = _as_floats(array[first : first + descriptions.count])
            yield VectorBlock(self.path, first, vectors, descriptions)
            first += descriptions.count

    def descriptions(self, columns: Collection[str]) -> Iterator[Descriptions]:
        """Yield the rows without vectors, with at least the columns of these names."""
        return self._descriptions(Notices(), columns)

    def _descriptions(
        self, notices: Notices, columns: Collection[str] | None = None
    ) -> Iterator[Descriptions]:
        if self.metadata is None:
            for first in range(0, self.rows, BLOCK_ROWS):
                yield Descriptions(min(BLOCK_ROWS, self.rows - first), {})
        elif self.metadata.suffix == ".parquet":
            try:
                path = str(self.metadata)
                for batch in read_parquet_batches(path, notices, BLOCK_ROWS, columns):
                    yield Descriptions.of_batch(batch)
            except OSError as error:
                reason = error.strerror or error
                raise SourceError(f"{self.metadata}: {reason}; cannot read the list") from error
        else:
            for block in _table_blocks(self.metadata, notices, columns):
                yield Descriptions.of_block(block)


def _open_array(path: Path) -> NDArray[Any]:
    try:
        check_regular(path)
        # Pickles can run code, so they are never loaded.
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise SourceError(f"{path} is not a readable array of numbers ({reason})") from error
    if not isinstance(array, np.ndarray):
        raise SourceError(f"{path} is an archive of arrays; expected a single array as .npy")
    return array


def _count_rows(path: Path) -> int:
    if path.suffix == ".parquet":
        with _parquet_file(path) as file:
            return int(file.metadata.num_rows)
    return sum(block.count for block in _table_blocks(path, Notices(), ()))


def _table_blocks(
    path: Path, notices: Notices, columns: Collection[str] | None = None
) -> Iterator[ListBlock]:
    """Yield the rows of a table; a malformed row raises, because later ones would not match."""
    if path.suffix[1:].lower() not in LIST_EXTENSIONS:
        raise SourceError(f"{path}: expected {', '.join(LIST_EXTENSIONS)}")
    return read_table(str(path), notices, BLOCK_ROWS, columns)


# ---------------------------------------------------------------- Parquet


@dataclass(frozen=True, slots=True)
class ParquetVectors:
    """A Parquet file with a column of vectors; `dim` is the most common length."""

    path: Path
    rows: int
    dim: int
    column: str

    @classmethod
    def open(cls, path: Path, column: str | None) -> ParquetVectors:
        """Find the column of vectors and their length.

        Raises:
            SourceError: The file is damaged, or has no such column.
        """
        with _parquet_file(path) as file:
            rows = int(file.metadata.num_rows)
            name = _vector_column(path, file.schema_arrow, column)
            return cls(path, rows, _vector_length(path, file, name) if rows else 0, name)

    def blocks(self, notices: Notices) -> Iterator[VectorBlock]:
        """Yield all rows in order."""
        first = 0
        with _parquet_file(self.path) as file:
            names = _description_columns(self.path, file.schema_arrow, self.column, notices)
            for batch in file.iter_batches(BLOCK_ROWS, columns=[*names, self.column]):
                vectors = _vectors(batch.column(self.column), self.dim)
                descriptions = Descriptions.of_batch(batch.select(names))
                yield VectorBlock(self.path, first, vectors, descriptions)
                first += len(vectors)

    def descriptions(self, columns: Collection[str]) -> Iterator[Descriptions]:
        """Yield the rows without vectors, with at least the columns of these names."""
        with _parquet_file(self.path) as file:
            names = named_columns(file.schema_arrow.names, columns)
            for batch in file.iter_batches(BLOCK_ROWS, columns=names):
                yield Descriptions.of_batch(batch)


VectorFile = NpyVectors | ParquetVectors
"""A file of vectors."""


@contextmanager
def _parquet_file(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a file and convert errors of reading it into a `SourceError`."""
    try:
        check_regular(path)
        # Otherwise the whole file is read ahead and held.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0]
        raise SourceError(f"{path} cannot be read ({reason}); write it again") from error


def _description_columns(
    path: Path, schema: pa.Schema, vector_column: str, notices: Notices
) -> list[str]:
    """Return the columns that describe rows, without further vectors and binary columns."""
    names = []
    for field in schema:
        if field.name == vector_column:
            continue
        if _is_list_of(field.type, pa.types.is_floating):
            problem = "holds vectors as well"
        elif _has_binary(field.type):
            problem = "is binary"
        else:
            names.append(field.name)
            continue
        notices.add(f"column {field.name!r} {problem}; left out", source=str(path))
    return names


def _has_binary(arrow_type: pa.DataType) -> bool:
    return is_binary(arrow_type) or any(
        _has_binary(arrow_type.field(number).type) for number in range(arrow_type.num_fields)
    )


def _is_list_of(arrow_type: pa.DataType, is_element: Callable[[pa.DataType], bool]) -> bool:
    list_tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(arrow_type) for test in list_tests) and is_element(arrow_type.value_type)


def _vector_column(path: Path, schema: pa.Schema, wanted: str | None) -> str:
    names = [field.name for field in schema if _is_list_of(field.type, pa.types.is_floating)]
    # Lists of integers can be anything, so only a usual name or the option makes them vectors.
    integers = [field.name for field in schema if _is_list_of(field.type, pa.types.is_integer)]
    names += [name for name in integers if name == wanted or (not names and name in VECTOR_COLUMNS)]
    if wanted is not None:
        if wanted not in names:
            raise SourceError(
                f"{path}: no column {wanted!r} of vectors; found {', '.join(names) or 'none'}"
            )
        return wanted
    usual = [name for name in VECTOR_COLUMNS if name in names]
    if len(names) != 1 and not usual:
        problem = "no column of vectors"
        if names:
            problem = f"several columns of vectors: {', '.join(names)}"
        raise SourceError(f"{path}: {problem}; name the vector column to read")
    return usual[0] if usual else names[0]


def _vector_length(path: Path, file: pq.ParquetFile, column: str) -> int:
    arrow_type = file.schema_arrow.field(column).type
    if pa.types.is_fixed_size_list(arrow_type):
        return int(arrow_type.list_size)
    for batch in file.iter_batches(BLOCK_ROWS, columns=[column]):
        lengths = pc.list_value_length(batch.column(0)).drop_null()
        modes = pc.mode(lengths.filter(pc.greater(lengths, 0)))
        if len(modes):  # single vectors can be cut short
            return int(modes[0]["mode"].as_py())
    raise SourceError(f"{path}: column {column!r} holds no vector")


def _vectors(column: pa.Array, dim: int) -> NDArray[np.floating]:
    """Return vectors of shape (n, dim); rows that are null or of another length are NaN."""
    lengths = pc.list_value_length(column).fill_null(-1).to_numpy(zero_copy_only=False)
    valid = lengths == dim
    if valid.all():
        return _as_floats(column.flatten().to_numpy(zero_copy_only=False)).reshape(-1, dim)
    values = _as_floats(column.filter(pa.array(valid)).flatten().to_numpy(zero_copy_only=False))
    vectors = np.full((len(column), dim), np.nan, values.dtype)
    vectors[valid] = values.reshape(-1, dim)
    return vectors


def _as_floats(values: NDArray[Any]) -> NDArray[np.floating]:
    """Convert integers to float32; their scale has no effect, because vectors are normalized."""
    return values if values.dtype.kind == "f" else values.astype(np.float32)
