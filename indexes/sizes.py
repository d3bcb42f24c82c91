"""How much memory and disk each kind of index takes, by formula, before one is built.

FAISS's own layouts: codes, 8 bytes of id for each row of an inverted list, the links of a graph. A
test compares the formulae with indexes that FAISS writes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from indexes.choose import lists_for

ID_BYTES = 8
HNSW_NEIGHBOURS = 32
HNSW_BYTES = 4 * 2 * HNSW_NEIGHBOURS + 4 * HNSW_NEIGHBOURS // (HNSW_NEIGHBOURS - 1) + 12
"""A row's links: twice 32 on the ground level, 32 on the few levels above; its level and offset."""

RABITQ_BYTES, RABITQ_MORE_BYTES = 8, 20
"""Factors beside the code of RaBitQ, with one bit for a number and with more."""


@dataclass(frozen=True, slots=True)
class IndexSize:
    """One candidate.

    Attributes:
        name: What people call it.
        factory: FAISS factory string as `index --kind` takes it; `exact` for the exact part alone.
        memory_bytes: What searching it takes in memory beside mapped pages.
        disk_bytes: Its file and that of the exact float16 vectors, which every kind re-ranks with.
    """

    name: str
    factory: str
    memory_bytes: int
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    factory: str
    row_bytes: Callable[[int], float]
    inverted: bool = True


KINDS: tuple[_Kind, ...] = (
    _Kind("HNSW, float32", "HNSW32", lambda dim: 4 * dim + HNSW_BYTES, inverted=False),
    _Kind("HNSW, 8 bits", "HNSW32,SQ8", lambda dim: dim + HNSW_BYTES, inverted=False),
    _Kind("IVF, 8 bits", "IVF{lists},SQ8", lambda dim: dim + ID_BYTES),
    _Kind(
        "IVF, RaBitQ 4 bits",
        "IVF{lists},RaBitQ4",
        lambda dim: dim / 2 + RABITQ_MORE_BYTES + ID_BYTES,
    ),
    _Kind("IVF, RaBitQ 1 bit", "IVF{lists},RaBitQ", lambda dim: dim / 8 + RABITQ_BYTES + ID_BYTES),
    _Kind(
        "IVF, PQ fast scan",
        "OPQ{quarter},IVF{lists},PQ{quarter}x4fs",
        lambda dim: dim // 4 / 2 + ID_BYTES,
    ),
)
"""The candidates, by falling memory; the exact part alone comes before them."""


def index_sizes(rows: int, dim: int) -> list[IndexSize]:
    """Memory and disk of every candidate for some rows.

    Args:
        rows: Rows that the index will hold.
        dim: Length of a vector.
    """
    exact = 2 * dim * rows
    sizes = [IndexSize("exact, float16, mapped", "exact", 0, exact)]
    lists = lists_for(rows)
    for kind in KINDS:
        memory = round(rows * kind.row_bytes(dim))
        if kind.inverted:
            memory += 4 * lists * dim
        factory = kind.factory.format(lists=lists, quarter=dim // 4)
        sizes.append(IndexSize(kind.name, factory, memory, memory + exact))
    return sizes
