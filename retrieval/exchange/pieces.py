"""One file of vectors, read block by block with the rows that describe them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from retrieval.errors import SourceError
from retrieval.media.lists import LIST_EXTENSIONS

BLOCK_ROWS = 4_096

VECTOR_COLUMNS = ("embedding", "vector", "image_embedding", "embeddings", "emb")
"""Columns that hold the vectors where several could."""

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a source.

    Attributes:
        name: The first row's place in its file, for messages and for rows without a path.
        vectors: (n, dim) of any float dtype; NaN where a row lacks its vector.
        rows: What is said of each.
    """

    path: Path
    first_row: int
    vectors: NDArray[np.floating]
    rows: list[Row]


# ---------------------------------------------------------------- .npy


@dataclass(frozen=True, slots=True)
class NpyPiece:
    """A .npy file, with a list that describes its rows or without."""

    path: Path
    rows: int
    dim: int
    described: Path | None

    @classmethod
    def open(cls, path: Path, described: Path | None) -> NpyPiece:
        """Check the array and count the rows of its description."""
        array = _mapped(path)
        if array.ndim != 2 or array.dtype.kind != "f" or not array.shape[1]:
            raise SourceError(
                f"{path} holds {array.dtype} of shape {array.shape}, expected (rows, dim) floats"
            )
        if described is not None:
            rows = _count(described)
            if rows != len(array):
                raise SourceError(
                    f"{path} holds {len(array)} vectors, {described} describes {rows}; "
                    "bring the files that belong together"
                )
        return cls(path, len(array), int(array.shape[1]), described)

    def blocks(self) -> Iterator[Block]:
        """Read it from its first row to its last."""
        array = _mapped(self.path)
        described = _list_rows(self.described) if self.described is not None else iter(())
        for first in range(0, self.rows, BLOCK_ROWS):
            vectors = array[first : first + BLOCK_ROWS]
            rows = list(islice(described, len(vectors))) or [{}] * len(vectors)
            yield Block(self.path, first, vectors, rows)


def _mapped(path: Path) -> NDArray[Any]:
    try:
        # A pickled array would run what it likes: never allowed.
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise SourceError(f"{path} is no array of numbers that can be read ({reason})") from error
    if not isinstance(array, np.ndarray):
        raise SourceError(f"{path} is an archive of arrays; bring a single array as .npy")
    return array


def _count(path: Path) -> int:
    if path.suffix == ".parquet":
        return int(_parquet(path).metadata.num_rows)
    return sum(1 for _ in _list_rows(path))


def _list_rows(path: Path) -> Iterator[Row]:
    """Rows of a list; a malformed one ends the import, for what follows would be out of step."""
    read = LIST_EXTENSIONS.get(path.suffix[1:].lower())
    if read is None:
        raise SourceError(f"{path}: expected {', '.join(LIST_EXTENSIONS)}")
    try:
        for _, row in read(str(path)):
            if isinstance(row, SourceError):
                raise row
            yield row
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}; cannot read the list") from error


# ---------------------------------------------------------------- Parquet


@dataclass(frozen=True, slots=True)
class ParquetPiece:
    """A Parquet file with a column of vectors."""

    path: Path
    rows: int
    dim: int
    column: str

    @classmethod
    def open(cls, path: Path, column: str | None) -> ParquetPiece:
        """Find the column of vectors and their length."""
        with _parquet(path) as file:
            name = _vector_column(path, file.schema_arrow, column)
            dim = _dim(path, file, name)
            return cls(path, int(file.metadata.num_rows), dim, name)

    def blocks(self) -> Iterator[Block]:
        """Read it from its first row to its last."""
        first = 0
        try:
            with _parquet(self.path) as file:
                for batch in file.iter_batches(BLOCK_ROWS):
                    vectors = _vectors(batch.column(self.column), self.dim)
                    rows = batch.drop_columns([self.column]).to_pylist()
                    yield Block(self.path, first, vectors, rows or [{}] * len(vectors))
                    first += len(vectors)
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise _damaged(self.path, error) from error


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> SourceError:
    reason = str(error).partition("\n")[0]
    return SourceError(f"{path} cannot be read ({reason}); write it again")


def _is_list_of_floats(kind: pa.DataType) -> bool:
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_list(kind) for is_list in lists) and pa.types.is_floating(kind.value_type)


def _vector_column(path: Path, schema: pa.Schema, named: str | None) -> str:
    able = [field.name for field in schema if _is_list_of_floats(field.type)]
    if named is not None:
        if named not in able:
            raise SourceError(
                f"{path}: no column {named!r} of vectors; found {', '.join(able) or 'none'}"
            )
        return named
    usual = [name for name in VECTOR_COLUMNS if name in able]
    if len(able) != 1 and not usual:
        found = f"several columns of vectors: {', '.join(able)}" if able else "no column of vectors"
        raise SourceError(f"{path}: {found}; name the one to take with --vector-col")
    return str(usual[0] if usual else able[0])


def _dim(path: Path, file: pq.ParquetFile, column: str) -> int:
    kind = file.schema_arrow.field(column).type
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size)
    for batch in file.iter_batches(BLOCK_ROWS, columns=[column]):
        lengths = pc.list_value_length(batch.column(0)).drop_null()
        if len(lengths) and lengths[0].as_py():
            return int(lengths[0].as_py())
    raise SourceError(f"{path}: column {column!r} holds no vector")


def _vectors(column: pa.Array, dim: int) -> NDArray[np.floating]:
    """(n, dim); NaN where a row is null or of another length."""
    lengths = pc.list_value_length(column).fill_null(-1).to_numpy(zero_copy_only=False)
    right = lengths == dim
    values = column.filter(pa.array(right)).flatten().to_numpy(zero_copy_only=False)
    vectors = np.full((len(column), dim), np.nan, values.dtype)
    vectors[right] = values.reshape(-1, dim)
    return vectors


Piece = NpyPiece | ParquetPiece
"""One file of vectors with the rows that describe them: `path`, `rows`, `dim` and `blocks`."""
