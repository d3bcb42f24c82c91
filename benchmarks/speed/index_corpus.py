"""Writes the data of the index benchmarks: rows, collections, queries and their neighbours.

A folder holds `tune.npy` and `ask.npy`, the queries for tuning and for measuring, each with its
exact neighbours in `…-truth.npy`; `captions.npy`, the text vectors that the engine's encoder
returns; `collection`, without an index; `small`, a collection for warming up; and optionally
`rows/rows.npy`.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.speed.gap import SEED_ROWS, GapRows
from benchmarks.speed.nearest import Nearest
from benchmarks.speed.own_rows import MIN_ROWS, OwnRows
from benchmarks.speed.processes import Report
from benchmarks.speed.vectors import TextVectors, write_items
from retrieval.errors import SourceError
from retrieval.search.indexing.build import build_index
from retrieval.search.indexing.request import IndexRequest

QUERIES = 300
"""Number of generated queries for tuning, and of queries for measuring."""

CAPTIONS = 4_096
"""Number of generated text vectors of the encoder, so that few captions share one."""

NEIGHBOURS = 10
SMALL = 1_000


class RowSource(Protocol):
    """Unit rows that can be read in blocks."""

    rows: int
    dim: int

    def block(self, first: int, last: int) -> NDArray[np.float16]:
        """Read rows first … last - 1, (last - first, dim)."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Rows and texts of a benchmark.

    Attributes:
        name: What the rows are.
        identity: Differs between any two sets of rows and texts.
        source: The rows.
        rows: Number of rows to use, the first ones.
        tune: (n, dim) texts for tuning.
        ask: (n, dim) other texts, for measuring.
        captions: (n, dim) texts of the encoder, with which the engine tunes.
    """

    name: str
    identity: str
    source: RowSource
    rows: int
    tune: NDArray[np.float32]
    ask: NDArray[np.float32]
    captions: NDArray[np.float32]

    @property
    def dim(self) -> int:
        """Dimension."""
        return self.source.dim

    def blocks(self, size: int) -> Iterator[NDArray[np.float16]]:
        """Yield all rows in order, at most `size` per block."""
        for first in range(0, self.rows, size):
            yield self.source.block(first, min(self.rows, first + size))


def generated_corpus(rows: int, dim: int) -> Corpus:
    """Generate rows and texts with a modality gap."""
    source = GapRows(rows, dim)
    tune, ask = (source.texts(QUERIES, seed) for seed in range(2))
    captions = source.texts(CAPTIONS, 2)
    name = "generated, with a modality gap"
    return Corpus(name, f"{rows:,} × {dim}", source, rows, tune, ask, captions)


def own_corpus(vectors: Path, texts: Path, scale: float = 1.0) -> Corpus:
    """Read rows and texts of a user. The engine tunes with the texts that others tune with.

    Args:
        vectors: File of the rows.
        texts: File of the texts.
        scale: Share of the rows to use, from the first one.

    Raises:
        SourceError: See `OwnRows`.
    """
    source = OwnRows(vectors, texts)
    count = min(source.rows, max(MIN_ROWS, round(source.rows * scale)))
    identity = f"sha256 {source.digest[:16]}, {count:,} of {source.rows + source.left_out:,} rows"
    return Corpus(source.name, identity, source, count, source.tune, source.ask, source.tune)


def write_corpus(folder: Path, corpus: Corpus, *, rows_each: int, as_array: bool = True) -> Report:
    """Write all files in one pass over the rows; remove files of an interrupted run.

    Args:
        folder: Output folder.
        corpus: The rows, a multiple of `rows_each`, and texts.
        rows_each: Rows per item.
        as_array: Also write `rows/rows.npy`, float16.
    """
    for name in ("collection", "small", "rows"):
        shutil.rmtree(folder / name, ignore_errors=True)
    queries = {"tune": corpus.tune, "ask": corpus.ask}
    nearest = Nearest(np.concatenate(list(queries.values())), NEIGHBOURS)
    np.save(folder / "captions.npy", corpus.captions)
    encoder = TextVectors(corpus.captions)
    blocks = corpus.blocks(math.lcm(rows_each, SEED_ROWS))
    if as_array:
        blocks = _written(blocks, folder / "rows" / "rows.npy", (corpus.rows, corpus.dim))
    write_items(folder / "collection", nearest.watch(blocks), rows_each=rows_each, encoder=encoder)
    for name, ids in zip(queries, np.split(nearest.ids, [len(corpus.tune)]), strict=True):
        np.save(folder / f"{name}.npy", queries[name])
        np.save(folder / f"{name}-truth.npy", ids)
    small = corpus.source.block(0, min(corpus.rows, SMALL * rows_each))
    write_items(folder / "small", [small], rows_each=rows_each, encoder=encoder)
    build_index(folder / "small", request=IndexRequest("IVF8,SQ8"), encoders=lambda space: encoder)
    return {"rows": corpus.rows, "identity": corpus.identity}


def check_identity(folder: Path, report: Report, corpus: Corpus) -> None:
    """Refuse a folder in which an earlier run wrote other rows or texts.

    Raises:
        SourceError: The identities differ.
    """
    if report.get("identity") != corpus.identity:
        raise SourceError(
            f"{folder} holds the indexes of other rows or texts; name another folder or delete it"
        )


def linked_copy(collection: Path, copy: Path) -> Path:
    """Link the immutable files of a collection into a copy, unless the copy exists."""
    if not copy.exists():
        shutil.copytree(collection, copy, copy_function=os.link)
    return copy


def _written(
    blocks: Iterator[NDArray[np.float16]], path: Path, shape: tuple[int, int]
) -> Iterator[NDArray[np.float16]]:
    """Yield blocks unchanged, and write them into one array on disk."""
    path.parent.mkdir()
    array = np.lib.format.open_memmap(path, "w+", np.float16, shape)
    first = 0
    for block in blocks:
        array[first : first + len(block)] = block
        first += len(block)
        yield block
