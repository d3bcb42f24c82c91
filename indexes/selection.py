"""Rows that may answer a search, in the forms that FAISS takes them in.

A filter is asked for many times: what a search needs of it is made once. Of a few rows that is a
copy of their vectors, lying together: testing a bit for every row of the index would take longer
than scoring them (docs/filters.md has the measurements).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.protocol import Ids

COPIED_BYTES = 64 << 20
"""Vectors of a selection that are kept as a copy: 65,536 rows of 512 numbers."""

GATHERED_SHARE = 1 / 100
"""A mask that is used once has its rows copied out up to this share of all of them. Beyond it
testing every row's bit takes no longer than copying."""

SCANNED_SHARE = 1 / 8
"""A graph is not asked for a mask that leaves at most this share: it meets each row that may answer
among so many that may not, and scanning 300,000 rows exactly takes no longer."""


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Rows of one index that may answer, made once for many searches.

    Attributes:
        mask: (rows,) bool.
        count: Rows marked True.
        bits: The mask packed, the lowest bit first.
        ids: (count,) the rows marked True, where their vectors were copied; else None.
        vectors: FAISS index of only these rows; else None.
    """

    mask: NDArray[np.bool_]
    count: int
    bits: NDArray[np.uint8]
    ids: Ids | None = None
    vectors: Any = None

    @property
    def share(self) -> float:
        """Rows marked True over all rows."""
        return self.count / max(1, len(self.mask))

    @classmethod
    def plain(cls, mask: NDArray[np.bool_]) -> Selection:
        """A selection without a copy."""
        return cls(mask, int(np.count_nonzero(mask)), np.packbits(mask, bitorder="little"))

    @property
    def bytes(self) -> int:
        """Memory that it holds."""
        copied = 0 if self.ids is None else self.ids.nbytes + self.vectors.codes.size()
        return int(self.mask.nbytes + self.bits.nbytes + copied)

    def selector(self) -> Any:
        """What FAISS tests rows with."""
        return faiss.IDSelectorBitmap(self.bits)


def select(exact: Any, mask: NDArray[np.bool_], *, once: bool = False) -> Selection:
    """Prepare a mask for searching.

    Args:
        exact: The exact part of the index, of flat codes.
        mask: (rows,) bool, not to be changed afterwards.
        once: It serves one search only, which must pay for the copying.
    """
    plain = Selection.plain(mask)
    limit = int(GATHERED_SHARE * len(mask)) if once else COPIED_BYTES // exact.code_size
    if not 0 < plain.count <= limit or plain.count == len(mask):
        return plain
    ids = np.flatnonzero(mask)
    return replace(plain, ids=ids, vectors=copied_rows(exact, ids))


def grown(visited: int, share: float) -> int:
    """Lists of an IVF index to visit for the rows that a mask leaves.

    Their nearest ones lie further away, and so in more lists. The root of the share keeps the
    recall, also where a filter leaves out the query's own neighbourhood, and the time near that of
    a search without a mask: most rows of a list are passed over by their bit alone.

    Args:
        visited: Lists that are visited without a mask.
        share: Of the rows that may answer, above 0.
    """
    return math.ceil(visited / math.sqrt(share))


def copied_rows(exact: Any, ids: Ids) -> Any:
    """A FAISS index of some rows, in the same codes, lying together."""
    codes = faiss.rev_swig_ptr(exact.codes.data(), exact.ntotal * exact.code_size)
    copy = faiss.IndexScalarQuantizer(exact.d, exact.sq.qtype, exact.metric_type)
    copy.add_sa_codes(codes.reshape(exact.ntotal, exact.code_size)[ids])
    return copy
