"""Filters prepared for FAISS: masks, bitmaps, and copies of small sets of rows.

A filter is prepared once and used in many searches. The vectors of a small set are copied, since
testing a bit for each row of the index would take longer than scoring them (docs/filters.md).
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
"""Maximum size of the copied vectors of a selection: 65,536 rows of dimension 512."""

GATHERED_SHARE = 1 / 100
"""Maximum share of rows copied for a mask that is used once. Beyond it, testing the bit of every
row takes no longer than copying."""

SCANNED_SHARE = 1 / 8
"""Masks that allow at most this share of the rows bypass a graph, which would visit mostly
excluded rows; an exact scan of 300,000 rows takes no longer."""


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The rows of one index that may be answers, prepared for many searches.

    Attributes:
        mask: (rows,) bool.
        count: Number of rows marked True.
        bits: The packed mask, lowest bit first.
        ids: (count,) ids of the rows marked True if their vectors are copied; else None.
        vectors: FAISS index of these rows only; else None.
    """

    mask: NDArray[np.bool_]
    count: int
    bits: NDArray[np.uint8]
    ids: Ids | None = None
    vectors: Any = None

    @property
    def share(self) -> float:
        """Share of the rows that are marked True."""
        return self.count / max(1, len(self.mask))

    @classmethod
    def from_mask(cls, mask: NDArray[np.bool_]) -> Selection:
        """Create a selection without copied vectors."""
        return cls(mask, int(np.count_nonzero(mask)), np.packbits(mask, bitorder="little"))

    @property
    def bytes(self) -> int:
        """Memory used."""
        copied = 0 if self.ids is None else self.ids.nbytes + self.vectors.codes.size()
        return int(self.mask.nbytes + self.bits.nbytes + copied)

    def selector(self) -> Any:
        """Return a FAISS id selector."""
        return faiss.IDSelectorBitmap(self.bits)


def select(exact: Any, mask: NDArray[np.bool_], *, single_use: bool = False) -> Selection:
    """Prepare a mask for searching.

    Args:
        exact: The exact part of the index, of flat codes.
        mask: (rows,) bool; must not change afterwards.
        single_use: Prepare it for one search, which limits how much copying is worth its time.
    """
    selection = Selection.from_mask(mask)
    limit = int(GATHERED_SHARE * len(mask)) if single_use else COPIED_BYTES // exact.code_size
    if not 0 < selection.count <= limit or selection.count == len(mask):
        return selection
    ids = np.flatnonzero(mask)
    return replace(selection, ids=ids, vectors=copy_rows(exact, ids))


def list_factor(share: float) -> float:
    """Return the factor of the number of IVF lists to visit when a mask excludes rows.

    The nearest allowed rows are further away and spread over more lists. Dividing by the root of
    the share preserves recall, even if the mask excludes the neighbourhood of the query, at nearly
    the same search time, because excluded rows only cost a bit test.

    Args:
        share: Share of allowed rows, above 0.
    """
    return 1 / math.sqrt(share)


def lists_with_mask(visited: int, share: float) -> int:
    """Return the number of IVF lists to visit, see `list_factor`.

    Args:
        visited: Lists visited without a mask.
        share: Share of allowed rows, above 0.
    """
    return math.ceil(visited * list_factor(share))


def copy_rows(exact: Any, ids: Ids) -> Any:
    """Copy rows into a compact FAISS index with the same codes."""
    codes = faiss.rev_swig_ptr(exact.codes.data(), exact.ntotal * exact.code_size)
    copy = faiss.IndexScalarQuantizer(exact.d, exact.sq.qtype, exact.metric_type)
    copy.add_sa_codes(codes.reshape(exact.ntotal, exact.code_size)[ids])
    return copy
