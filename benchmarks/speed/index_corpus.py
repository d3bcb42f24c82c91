"""What `bench speed index` asks of: rows, collections of them, queries and their neighbours.

A folder holds `tune.npy` and `ask.npy`, texts to choose settings on and texts to measure with, each
with its exact neighbours in `…-truth.npy`; `captions.npy`, what the engine's encoder makes of texts
when it tunes itself; `collection`, without an index; `small`, a collection to warm up on; and
`rows/rows.npy`, where it is asked for.
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
"""Texts to choose settings on, and texts to measure with."""

CAPTIONS = 4_096
"""Texts that the engine's encoder knows: few captions of a collection then share one."""

NEIGHBOURS = 10
SMALL = 1_000


def write_corpus(
    folder: Path, rows: int, dim: int, *, rows_each: int, as_array: bool = True
) -> Report:
    """Write everything in one pass over the generated rows; what a killed run left is removed.

    Args:
        folder: Where to.
        rows: Rows, a multiple of `rows_each`.
        dim: Their length.
        rows_each: Rows of one item.
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
        blocks = _kept(blocks, folder / "rows" / "rows.npy", (rows, dim))
    write_items(folder / "collection", nearest.watch(blocks), rows_each=rows_each, encoder=encoder)
    for name, ids in zip(queries, np.split(nearest.ids, len(queries)), strict=True):
        np.save(folder / f"{name}.npy", queries[name])
        np.save(folder / f"{name}-truth.npy", ids)
    small = corpus.block(0, min(rows, SMALL * rows_each))
    write_items(folder / "small", [small], rows_each=rows_each, encoder=encoder)
    build_index(folder / "small", request=IndexRequest("IVF8,SQ8"), encoders=lambda space: encoder)
    return {"rows": rows}


def linked_copy(collection: Path, copy: Path) -> Path:
    """A collection of the same immutable files, to build an index in; kept if it is there."""
    if not copy.exists():
        shutil.copytree(collection, copy, copy_function=os.link)
    return copy


def _kept(
    blocks: Iterator[NDArray[np.float16]], path: Path, shape: tuple[int, int]
) -> Iterator[NDArray[np.float16]]:
    """Write passing rows into one array on disk."""
    path.parent.mkdir()
    array = np.lib.format.open_memmap(path, "w+", np.float16, shape)
    first = 0
    for block in blocks:
        array[first : first + len(block)] = block
        first += len(block)
        yield block
