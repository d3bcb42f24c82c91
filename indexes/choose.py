"""Which indexes there are for so many rows, and what each of them takes.

What autofaiss decides by rules is measured here (`retrieval.search.indexing.choice`): this module
says which kinds are worth a trial.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from indexes.errors import IndexBuildError

EXACT_BELOW_ROWS = 200_000
"""On a CPU exact search answers in milliseconds up to here (docs/benchmarks.md)."""

GPU_EXACT_BELOW_ROWS = 10_000_000
"""As on a CPU: of 512 numbers these are 10 GB, which GPUs of 1 to 4.8 TB/s read in 2 to 10 ms."""

TRIAL_ROWS = 40_000
"""Rows of a trial: enough to tell kinds apart, few enough to try all of them in a minute."""

TRAINING_ROWS_PER_LIST = 64
NEIGHBOURS: Final = 32
LINK_BYTES: Final = 4 * 2 * NEIGHBOURS + 4 * NEIGHBOURS // (NEIGHBOURS - 1) + 12
"""Of a row in a graph: twice 32 links on the ground level, 32 on the few levels above; its level
and offset."""

RABITQ_BYTES: Final = 8
"""Factors beside a code of one bit for a number."""

GPU_PIECES: Final = frozenset(
    {1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96}
)  # fmt: skip
"""Bytes of a product quantizer's code that FAISS's GPU kernels are compiled for."""

CAGRA_LINK_BYTES: Final = 4 * 64

HALF_FLOAT = 2
ID_BYTES = 8

BLOCK_CODES: Final = 32
"""Fast scans fill the last block of a list up to so many codes."""

LIST_BYTES: Final = 8
"""A list's size, beside its centroid."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kind of index, and the memory that it takes when searched.

    Attributes:
        template: FAISS factory string with `{lists}` for the number of lists; None for exact
            search alone.
        dim: Length of a vector.
        row_bytes: Bytes of a row.
        block_bytes: Of these, the bytes that are stored in whole blocks of 32 rows of a list.
        fixed_bytes: What does not grow with the rows: codebooks and rotations.
    """

    template: str | None
    dim: int
    row_bytes: float
    block_bytes: float = 0
    fixed_bytes: int = 0

    @property
    def rotates(self) -> bool:
        """Whether rows are rotated first, by a matrix that is trained."""
        return self.template is not None and self.template.startswith("OPQ")

    @property
    def graph(self) -> bool:
        """Whether it is a graph on the CPU, which takes long to build."""
        return self.template is not None and self.template.startswith(("HNSW", "NSG"))

    def factory(self, rows: int) -> str | None:
        """The FAISS factory string for so many rows."""
        return self.template and self.template.format(lists=lists_for(rows))

    def bytes(self, rows: int) -> int:
        """Bytes of so many rows, of what is filled up, and of the centroids of their lists."""
        lists = lists_for(rows) if self.template and "{lists}" in self.template else 0
        added = _in_blocks(rows, lists) - rows if self.block_bytes and rows else 0
        held = self.row_bytes * rows + self.block_bytes * added
        return math.ceil(held) + (4 * self.dim + LIST_BYTES) * lists + self.fixed_bytes


def candidates(dim: int) -> list[Candidate]:
    """Every kind that is worth a trial on a CPU for vectors of a length, exact search first."""
    found = [Candidate(None, dim, HALF_FLOAT * dim)]
    graphs = (("HNSW32", 4), ("HNSW32_SQfp16", 2), ("HNSW32_SQ8", 1))
    found += [Candidate(name, dim, width * dim + LINK_BYTES) for name, width in graphs]
    found.append(Candidate("IVF{lists},SQ8", dim, dim + ID_BYTES))
    binary = dim / 8 + RABITQ_BYTES
    found += [
        Candidate("IVF{lists},RaBitQ", dim, binary + ID_BYTES),
        Candidate("IVF{lists},RaBitQfs", dim, binary + ID_BYTES, block_bytes=binary),
    ]
    # Four bits for every `width` numbers, as they are or rotated so that they fit better.
    for width, rotation in ((2, ""), (4, ""), (4, "OPQ"), (8, "OPQ")):
        pieces = dim // width
        if dim % width == 0 and pieces % 2 == 0:
            first = f"{rotation}{pieces}," if rotation else ""
            factory = f"{first}IVF{{lists}},PQ{pieces}x4fs"
            width_bytes = pieces / 2 + ID_BYTES  # ids are mapped in blocks too
            fixed = 4 * 16 * dim + (4 * dim * dim if rotation else 0)
            found.append(Candidate(factory, dim, width_bytes, width_bytes, fixed))
    return found


def gpu_candidates(dim: int) -> list[Candidate]:
    """Every kind that is worth a trial on a GPU, beside exact search: what FAISS searches there."""
    found = [
        Candidate("CAGRA", dim, HALF_FLOAT * dim + CAGRA_LINK_BYTES),
        Candidate("IVF{lists},SQfp16", dim, HALF_FLOAT * dim + ID_BYTES),
        Candidate("IVF{lists},SQ8", dim, dim + ID_BYTES),
    ]
    for width in (8, 16):
        if dim % width == 0 and dim // width in GPU_PIECES:
            pieces = dim // width
            found.append(Candidate(f"IVF{{lists}},PQ{pieces}", dim, pieces + ID_BYTES))
    return found


def affordable(every: list[Candidate], rows: int, memory: int | None) -> list[Candidate]:
    """Candidates that fit a budget of bytes.

    Raises:
        IndexBuildError: None does; it names the smallest.
    """
    fit = [one for one in every if memory is None or one.bytes(rows) <= memory]
    if not fit:
        smallest = min(every, key=lambda one: one.bytes(rows))
        raise IndexBuildError(
            f"no index of {rows:,} rows fits into {size_text(memory or 0)}; the smallest, "
            f"{smallest.factory(rows) or 'exact search'}, takes {size_text(smallest.bytes(rows))}: "
            "give --memory as much, or --kind exact, which reads its rows from the disk"
        )
    return fit


def _in_blocks(rows: int, lists: int) -> float:
    """Rows of whole blocks, expected where lists differ in length as k-means makes them differ.

    About exponentially: of a million rows in 4,096 lists 7 % are added, of 20,000 in 512 45 %.
    """
    return lists * BLOCK_CODES / -math.expm1(-BLOCK_CODES * lists / rows)


def size_text(count: float) -> str:
    """Bytes as people read them: four digits, rounded up so that who gives as much gives enough."""
    whole = math.ceil(count)
    step = 10 ** max(0, len(str(whole)) - 4)
    up = -(-whole // step) * step
    power = min(4, (len(str(up)) - 1) // 3)
    return f"{up / 1000**power:.12g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def asked_factory(kind: str, rows: int) -> str | None:
    """The factory string of a kind that was named; None for exact, or where it has too few rows.

    A string may ask for more lists than there are rows: one space of a collection may be far
    smaller than the one it was meant for.
    """
    return None if kind == "exact" or rows < max(1, lists_of(kind)) else kind


def lists_for(rows: int) -> int:
    """The power of two nearest to 4 √rows, of few rows at most one list each."""
    few = max(1, rows)
    return 1 << min(round(math.log2(4 * math.sqrt(few))), few.bit_length() - 1)


def lists_of(factory: str) -> int:
    """Lists that a factory string asks for; 0 where it has none."""
    found = re.search(r"IVF(\d+)", factory)
    return int(found[1]) if found else 0


def training_rows(factory: str, rows: int) -> int:
    """Rows to sample for training: k-means gains nothing from more than this."""
    return min(rows, max(20_000, TRAINING_ROWS_PER_LIST * lists_of(factory)))
