"""Generates sources of `import` in several formats, with the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from benchmarks.speed.vectors import VectorEncoder, clustered
from retrieval.exchange.space_file import write_space
from retrieval.types import Space

BLOCK_ROWS = 4_096


def _descriptions(rows: int) -> pa.Table:
    numbers = range(rows)
    return pa.table(
        {
            "uri": [f"/archive/{number % 100:02}/{number:07}.jpg" for number in numbers],
            "caption": [f"entry {number} of the archive" for number in numbers],
            "width": [640 + number % 100 for number in numbers],
            "height": [480 + number % 100 for number in numbers],
            "year": [1990 + number % 30 for number in numbers],
            "place": [f"place {number % 500}" for number in numbers],
            "score": [number / rows for number in numbers],
            "bytes": [100_000 + number for number in numbers],
            "mtime": [1.7e9 + number for number in numbers],
            "sha256": [f"{number:064x}" for number in numbers],
        }
    )


def _blocks(rows: int, dim: int) -> Iterator[np.ndarray]:
    for first in range(0, rows, BLOCK_ROWS):
        yield clustered(min(BLOCK_ROWS, rows - first), dim, first)


def write_parquet(folder: Path, rows: int, dim: int) -> None:
    """Write the vectors and their descriptions as one Parquet file."""
    folder.mkdir(exist_ok=True)
    write_space(folder, space_of(dim))
    table, first = _descriptions(rows), 0
    field = pa.field("embedding", pa.list_(pa.float32(), dim))
    with pq.ParquetWriter(folder / "vectors.parquet", table.schema.append(field)) as writer:
        for block in _blocks(rows, dim):
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), dim)
            part = table.slice(first, len(block)).append_column(field, vectors)
            writer.write_table(part)
            first += len(block)


def write_npy(folder: Path, rows: int, dim: int) -> None:
    """Write the vectors as `.npy`, and their descriptions as Parquet."""
    folder.mkdir(exist_ok=True)
    write_space(folder, space_of(dim))
    pq.write_table(_descriptions(rows), folder / "vectors.parquet")
    vectors = np.lib.format.open_memmap(
        folder / "vectors.npy", "w+", dtype=np.float32, shape=(rows, dim)
    )
    for number, block in enumerate(_blocks(rows, dim)):
        vectors[number * BLOCK_ROWS :][: len(block)] = block
    vectors.flush()


def write_csv(folder: Path, rows: int, dim: int) -> None:
    """Write the vectors as `.npy`, and their descriptions as CSV."""
    write_npy(folder, rows, dim)
    (folder / "vectors.parquet").unlink()
    csv.write_csv(_descriptions(rows), folder / "vectors.csv")


def space_of(dim: int) -> Space:
    """Return the space of the generated vectors."""
    encoder = VectorEncoder(dim)
    return Space(f"vectors-{dim}", encoder.spec, dim, encoder.media, encoder.digest)
