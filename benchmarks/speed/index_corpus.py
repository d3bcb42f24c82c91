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
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.speed.gap import SEED_ROWS, GapRows
from benchmarks.speed.nearest import Nearest
from benchmarks.speed.processes import Report
from benchmarks.speed.vectors import TextVectors, write_items
from retrieval.search.indexing.build import build_index
from retrieval.search.indexing.request import IndexRequest

QUERIES = 300
"""Number of queries for tuning, and of queries for measuring."""

CAPTIONS = 4_096
"""Number of text vectors of the encoder, so that few captions share one."""

NEIGHBOURS = 10
SMALL = 1_000


def write_corpus(
    folder: Path, rows: int, dim: int, *, rows_each: int, as_array: bool = True
) -> Report:
    """Write all files in one pass over the generated rows; remove files of an interrupted run.

    Args:
        folder: Output folder.
        rows: Number of rows, a multiple of `rows_each`.
        dim: Dimension.
        rows_each: Rows per item.
        as_array: Also write `rows/rows.npy`, float16.
    """
    for name in ("collection", "small", "rows"):
        shutil.rmtree(folder / name, ignore_errors=True)
    corpus = GapRows(rows, dim)
    queries = {name: corpus.texts(QUERIES, seed) for seed, name in enumerate(("tune", "ask"))}
    nearest = Nearest(np.concatenate(list(queries.values())), NEIGHBOURS)
    captions = corpus.texts(CAPTIONS, len(queries))
    np.save(folder / "captions.npy", captions)
    encoder = TextVectors(captions)
    blocks: Iterator[NDArray[np.float16]] = corpus.blocks(math.lcm(rows_each, SEED_ROWS))
    if as_array:
        blocks = _written(blocks, folder / "rows" / "rows.npy", (rows, dim))
    write_items(folder / "collection", nearest.watch(blocks), rows_each=rows_each, encoder=encoder)
    for name, ids in zip(queries, np.split(nearest.ids, len(queries)), strict=True):
        np.save(folder / f"{name}.npy", queries[name])
        np.save(folder / f"{name}-truth.npy", ids)
    small = corpus.block(0, min(rows, SMALL * rows_each))
    write_items(folder / "small", [small], rows_each=rows_each, encoder=encoder)
    build_index(folder / "small", request=IndexRequest("IVF8,SQ8"), encoders=lambda space: encoder)
    return {"rows": rows}


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
