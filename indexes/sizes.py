"""How much memory and disk each kind of index takes, by formula, before one is built."""

from __future__ import annotations

from dataclasses import dataclass

from indexes.choose import candidates


@dataclass(frozen=True, slots=True)
class IndexSize:
    """One candidate.

    Attributes:
        factory: FAISS factory string as `index --kind` takes it; `exact` for the exact part alone.
        memory_bytes: What searching it takes in memory beside mapped pages.
        disk_bytes: Its file and that of the exact float16 vectors, which every kind re-ranks with.
    """

    factory: str
    memory_bytes: int
    disk_bytes: int


def index_sizes(rows: int, dim: int) -> list[IndexSize]:
    """Memory and disk of every candidate for some rows, exact search first.

    Args:
        rows: Rows that the index will hold.
        dim: Length of a vector.
    """
    exact, *others = candidates(dim)
    mapped = exact.bytes(rows)
    return [
        IndexSize("exact", 0, mapped),
        *(
            IndexSize(str(one.factory(rows)), one.bytes(rows), one.bytes(rows) + mapped)
            for one in others
        ),
    ]
