"""The kinds of index worth a trial, and their memory by formula.

`retrieval.search.indexing.choice` builds and measures them.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from indexes.errors import IndexBuildError

EXACT_BELOW_ROWS = 200_000
"""Below this size exact search on a CPU takes milliseconds (docs/benchmarks.md)."""

GPU_EXACT_BELOW_ROWS = 10_000_000
"""The same limit on a GPU: 10 GB of 512-d rows, read in 2 to 10 ms at 1 to 4.8 TB/s."""

TRIAL_ROWS = 40_000
"""Rows of a trial: enough to distinguish kinds, few enough to try all of them in a minute."""

TRAINING_ROWS_PER_LIST = 64
NEIGHBOURS: Final = 32
LINK_BYTES: Final = 4 * 2 * NEIGHBOURS + 4 * NEIGHBOURS // (NEIGHBOURS - 1) + 12
"""Graph bytes per row: 64 links on the ground level, 32 on each of the sparse upper levels, and
the row's level and offset."""

RABITQ_BYTES: Final = 8
"""Correction factors stored with each one-bit code."""

GPU_PIECES: Final = frozenset(
    {1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96}
)  # fmt: skip
"""Code sizes in bytes that FAISS's GPU kernels for product quantizers support."""

CAGRA_LINK_BYTES: Final = 4 * 64

HALF_FLOAT = 2
ID_BYTES = 8

BLOCK_CODES: Final = 32
"""Fast-scan lists are padded to a multiple of this many codes."""

LIST_BYTES: Final = 8
"""Bytes per list in addition to its centroid: the list's size."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kind of index and the memory that searching it takes.

    Attributes:
        template: FAISS factory string with `{lists}` for the number of lists; None for exact
            search alone.
        dim: Vector dimension.
        row_bytes: Bytes per row.
        block_bytes: The part of `row_bytes` that is padded to blocks of 32 rows per list.
        fixed_bytes: Size of codebooks and rotations, which does not depend on the rows.
    """

    template: str | None
    dim: int
    row_bytes: float
    block_bytes: float = 0
    fixed_bytes: int = 0

    @property
    def rotates(self) -> bool:
        """Whether a trained rotation is applied to the rows."""
        return self.template is not None and self.template.startswith("OPQ")

    @property
    def graph(self) -> bool:
        """Whether this is a CPU graph, which is slow to build."""
        return self.template is not None and self.template.startswith(("HNSW", "NSG"))

    def factory(self, rows: int) -> str | None:
        """Return the FAISS factory string for a number of rows."""
        return self.template and self.template.format(lists=list_count(rows))

    def bytes(self, rows: int) -> int:
        """Return the memory for a number of rows: codes, padding and centroids."""
        lists = list_count(rows) if self.template and "{lists}" in self.template else 0
        padding = _padded_rows(rows, lists) - rows if self.block_bytes and rows else 0
        codes = self.row_bytes * rows + self.block_bytes * padding
        return math.ceil(codes) + (4 * self.dim + LIST_BYTES) * lists + self.fixed_bytes


def candidates(dim: int) -> list[Candidate]:
    """Return all kinds worth a trial on a CPU for a vector dimension, exact search first."""
    graphs = (("HNSW32", 4), ("HNSW32_SQfp16", 2), ("HNSW32_SQ8", 1))
    binary = dim / 8 + RABITQ_BYTES
    kinds = [
        Candidate(None, dim, HALF_FLOAT * dim),
        *(Candidate(name, dim, width * dim + LINK_BYTES) for name, width in graphs),
        Candidate("IVF{lists},SQ8", dim, dim + ID_BYTES),
        Candidate("IVF{lists},RaBitQ", dim, binary + ID_BYTES),
        Candidate("IVF{lists},RaBitQfs", dim, binary + ID_BYTES, block_bytes=binary),
    ]
    # Four bits for each group of `width` dimensions, with or without a rotation.
    for width, rotation in ((2, ""), (4, ""), (4, "OPQ"), (8, "OPQ")):
        pieces = dim // width
        if dim % width == 0 and pieces % 2 == 0:
            prefix = f"{rotation}{pieces}," if rotation else ""
            factory = f"{prefix}IVF{{lists}},PQ{pieces}x4fs"
            row_bytes = pieces / 2 + ID_BYTES  # mapped ids are padded to blocks as well
            fixed = 4 * 16 * dim + (4 * dim * dim if rotation else 0)
            kinds.append(Candidate(factory, dim, row_bytes, row_bytes, fixed))
    return kinds


def gpu_candidates(dim: int) -> list[Candidate]:
    """Return all approximate kinds worth a trial on a GPU: those that FAISS searches there."""
    kinds = [
        Candidate("CAGRA", dim, HALF_FLOAT * dim + CAGRA_LINK_BYTES),
        Candidate("IVF{lists},SQfp16", dim, HALF_FLOAT * dim + ID_BYTES),
        Candidate("IVF{lists},SQ8", dim, dim + ID_BYTES),
    ]
    for width in (8, 16):
        if dim % width == 0 and dim // width in GPU_PIECES:
            pieces = dim // width
            kinds.append(Candidate(f"IVF{{lists}},PQ{pieces}", dim, pieces + ID_BYTES))
    return kinds


def fit_memory(kinds: list[Candidate], rows: int, memory: int | None) -> list[Candidate]:
    """Return the candidates that fit into a memory limit in bytes.

    Raises:
        IndexBuildError: No candidate fits; the message names the smallest.
    """
    fitting = [kind for kind in kinds if memory is None or kind.bytes(rows) <= memory]
    if not fitting:
        smallest = min(kinds, key=lambda kind: kind.bytes(rows))
        raise IndexBuildError(
            f"no index of {rows:,} rows fits into {format_bytes(memory or 0)}; the smallest, "
            f"{smallest.factory(rows) or 'exact search'}, takes "
            f"{format_bytes(smallest.bytes(rows))}: raise the memory limit to that, or use the "
            "kind exact, which reads its rows from disk"
        )
    return fitting


def _padded_rows(rows: int, lists: int) -> float:
    """Return the expected number of rows after padding each list to whole blocks.

    Assumes exponentially distributed list lengths, which k-means produces approximately: a
    million rows in 4,096 lists grow by 7 %, 20,000 rows in 512 lists by 45 %.
    """
    return lists * BLOCK_CODES / -math.expm1(-BLOCK_CODES * lists / rows)


def format_bytes(count: float) -> str:
    """Format a number of bytes with four digits, rounded up so that it suffices as a limit."""
    number = math.ceil(count)
    step = 10 ** max(0, len(str(number)) - 4)
    rounded = -(-number // step) * step
    power = min(4, (len(str(rounded)) - 1) // 3)
    return f"{rounded / 1000**power:.12g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def factory_for_kind(kind: str, rows: int) -> str | None:
    """Return the factory string of a requested kind; None for exact search.

    Exact search also replaces a kind with more lists than rows: a collection may contain a space
    that is far smaller than the one for which the kind was chosen.
    """
    return None if kind == "exact" or rows < max(1, factory_lists(kind)) else kind


def list_count(rows: int) -> int:
    """Return the power of two nearest to 4 √rows, but at most the number of rows."""
    rows = max(1, rows)
    return 1 << min(round(math.log2(4 * math.sqrt(rows))), rows.bit_length() - 1)


def factory_lists(factory: str) -> int:
    """Return the number of lists in a factory string; 0 if it has none."""
    match = re.search(r"IVF(\d+)", factory)
    return int(match[1]) if match else 0


def training_rows(factory: str, rows: int) -> int:
    """Return the size of the training sample; k-means gains nothing from a larger one."""
    return min(rows, max(20_000, TRAINING_ROWS_PER_LIST * factory_lists(factory)))
