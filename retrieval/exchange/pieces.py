"""One file of vectors, read block by block with the rows that describe them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from retrieval.columns.arrow import is_binary, python_values
from retrieval.columns.notices import Notices
from retrieval.errors import SourceError
from retrieval.files.reading import check_regular
from retrieval.media.lists.rows import LIST_EXTENSIONS, read_table

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
        if array.ndim and not len(array):
            array = array.reshape(0, 1)  # an empty shard, whatever its shape says
        known = array.dtype.kind == "f" or array.dtype == np.int8
        if array.ndim != 2 or not known or not array.shape[1]:
            raise SourceError(
                f"{path} holds {array.dtype} of shape {array.shape}, expected (rows, dim) floats "
                "or int8"
            )
        if described is not None:
            rows = _count(described)
            if rows != len(array):
                raise SourceError(
                    f"{path} holds {len(array)} vectors, {described} describes {rows}; "
                    "bring the files that belong together"
                )
        return cls(path, len(array), int(array.shape[1]), described)

    def blocks(self, notices: Notices) -> Iterator[Block]:
        """Read it from its first row to its last."""
        array = _mapped(self.path)
        described = iter(()) if self.described is None else _list_rows(self.described, notices)
        for first in range(0, self.rows, BLOCK_ROWS):
            vectors = _floats(array[first : first + BLOCK_ROWS])
            rows = list(islice(described, len(vectors))) or [{}] * len(vectors)
            yield Block(self.path, first, vectors, rows)

    def names(self, columns: Collection[str]) -> Iterator[Row]:
        """The rows without their vectors, with some of their columns at least."""
        if self.described is None:
            yield from ({} for _ in range(self.rows))
        else:
            yield from _list_rows(self.described, Notices())


def _mapped(path: Path) -> NDArray[Any]:
    try:
        check_regular(path)
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
    return sum(1 for _ in _list_rows(path, Notices()))


def _list_rows(path: Path, notices: Notices) -> Iterator[Row]:
    """Rows of a list; a malformed one ends the import, for what follows would be out of step."""
    if path.suffix[1:].lower() not in LIST_EXTENSIONS:
        raise SourceError(f"{path}: expected {', '.join(LIST_EXTENSIONS)}")
    for _, row in read_table(str(path), notices):
        if isinstance(row, SourceError):
            raise row
        yield row


# ---------------------------------------------------------------- Parquet


@dataclass(frozen=True, slots=True)
class ParquetPiece:
    """A Parquet file with a column of vectors; `dim` is the length of most of them."""

    path: Path
    rows: int
    dim: int
    column: str

    @classmethod
    def open(cls, path: Path, column: str | None) -> ParquetPiece:
        """Find the column of vectors and their length."""
        with _parquet(path) as file:
            rows = int(file.metadata.num_rows)
            name = _vector_column(path, file.schema_arrow, column)
            return cls(path, rows, _dim(path, file, name) if rows else 0, name)

    def blocks(self, notices: Notices) -> Iterator[Block]:
        """Read it from its first row to its last."""
        first = 0
        try:
            with _parquet(self.path) as file:
                names = _described_columns(self.path, file.schema_arrow, self.column, notices)
                for batch in file.iter_batches(BLOCK_ROWS, columns=[*names, self.column]):
                    vectors = _vectors(batch.column(self.column), self.dim)
                    columns = {name: python_values(batch.column(name)) for name in names}
                    rows: list[Mapping[str, object]] = [
                        {name: values[place] for name, values in columns.items()}
                        for place in range(len(vectors))
                    ]
                    yield Block(self.path, first, vectors, rows)
                    first += len(vectors)
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise _damaged(self.path, error) from error

    def names(self, columns: Collection[str]) -> Iterator[Row]:
        """The rows without their vectors, with some of their columns at least."""
        try:
            with _parquet(self.path) as file:
                wanted = [
                    name
                    for name in file.schema_arrow.names
                    if name in columns or name.casefold() in columns
                ]
                if not wanted:
                    yield from ({} for _ in range(self.rows))
                    return
                for batch in file.iter_batches(BLOCK_ROWS, columns=wanted):
                    values = [python_values(column) for column in batch.columns]
                    for row in zip(*values, strict=True):
                        yield dict(zip(batch.schema.names, row, strict=True))
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise _damaged(self.path, error) from error


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        check_regular(path)
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> SourceError:
    reason = str(error).partition("\n")[0]
    return SourceError(f"{path} cannot be read ({reason}); write it again")


def _described_columns(path: Path, schema: pa.Schema, vectors: str, notices: Notices) -> list[str]:
    """The columns that describe the rows: further vectors and bytes are left out."""
    names = []
    for field in schema:
        if field.name == vectors:
            continue
        if _is_list_of(field.type, pa.types.is_floating):
            what = "holds vectors as well"
        elif _holds_bytes(field.type):
            what = "is binary"
        else:
            names.append(field.name)
            continue
        notices.add(f"column {field.name!r} {what}; left out", source=str(path))
    return names


def _holds_bytes(kind: pa.DataType) -> bool:
    return is_binary(kind) or any(
        _holds_bytes(kind.field(number).type) for number in range(kind.num_fields)
    )


def _is_list_of(kind: pa.DataType, is_number: Callable[[pa.DataType], bool]) -> bool:
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_list(kind) for is_list in lists) and is_number(kind.value_type)


def _vector_column(path: Path, schema: pa.Schema, named: str | None) -> str:
    able = [field.name for field in schema if _is_list_of(field.type, pa.types.is_floating)]
    # Lists of small integers can be anything: they are vectors where their name says so.
    whole = [field.name for field in schema if _is_list_of(field.type, pa.types.is_int8)]
    able += [name for name in whole if name == named or (not able and name in VECTOR_COLUMNS)]
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
        found = pc.mode(lengths.filter(pc.greater(lengths, 0)))
        if len(found):  # of most: the first one may be cut short
            return int(found[0]["mode"].as_py())
    raise SourceError(f"{path}: column {column!r} holds no vector")


def _vectors(column: pa.Array, dim: int) -> NDArray[np.floating]:
    """(n, dim); NaN where a row is null or of another length."""
    lengths = pc.list_value_length(column).fill_null(-1).to_numpy(zero_copy_only=False)
    right = lengths == dim
    values = _floats(column.filter(pa.array(right)).flatten().to_numpy(zero_copy_only=False))
    vectors = np.full((len(column), dim), np.nan, values.dtype)
    vectors[right] = values.reshape(-1, dim)
    return vectors


def _floats(values: NDArray[Any]) -> NDArray[np.floating]:
    """Quantized vectors as floats, which are scaled to unit length like all others."""
    return values if values.dtype.kind == "f" else values.astype(np.float32)


Piece = NpyPiece | ParquetPiece
"""One file of vectors with the rows that describe them: `path`, `rows`, `dim` and `blocks`."""
