"""Memory and disk size of each kind of index by formula, before one is built."""

from __future__ import annotations

from dataclasses import dataclass

from indexes.candidates import candidates


@dataclass(frozen=True, slots=True)
class IndexSize:
    """The size of one kind of index.

    Attributes:
        factory: FAISS factory string, or `exact` for the exact part alone.
        memory_bytes: Memory for searching, without mapped pages.
        disk_bytes: Size of its file and of the exact float16 vectors used for re-ranking.
    """

    factory: str
    memory_bytes: int
    disk_bytes: int


def index_sizes(rows: int, dim: int) -> list[IndexSize]:
    """Return memory and disk size of each candidate, exact search first.

    Args:
        rows: Number of rows of the index.
        dim: Vector dimension.
    """
    exact, *others = candidates(dim)
    exact_bytes = exact.bytes(rows)
    return [
        IndexSize("exact", 0, exact_bytes),
        *(
            IndexSize(str(kind.factory(rows)), kind.bytes(rows), kind.bytes(rows) + exact_bytes)
            for kind in others
        ),
    ]
