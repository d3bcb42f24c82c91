"""Scores float16 rows in torch and keeps the best of them.

A first pass scores all rows with float16 queries and keeps only the maximum of each group of rows,
which is faster than a top-k. The rows of the best groups are scored again exactly
(`indexes.scoring`). A bound on the rounding of the first pass proves that no other row belongs
among the answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from indexes.protocol import Ids, Scores
from indexes.scoring import GRID

GROUP_ROWS: Final = 32
"""Rows per group in the first pass."""

WORK_BYTES: Final = 1 << 29
"""Maximum size of a block of scores, or of the rows gathered for the second pass."""

MATRIX_NUMBERS: Final = 1 << 31
"""Maximum number of elements of a matrix: parts of cuBLAS use 32-bit indices."""

ACCUMULATION_ERROR: Final = 1e-5
"""Upper bound on the float32 accumulation error in a score of unit vectors."""

MAX_ROWS: Final = (1 << 32) - 1
EMPTY_KEY: Final = torch.iinfo(torch.int64).min


@dataclass(frozen=True, slots=True)
class RowBlock:
    """Rows on a device: consecutive rows from `first` on, or those listed in `rows`.

    `vectors` is (n, dim) float16, `rows` (n,) int64, `allowed` (n,) bool.
    """

    vectors: Tensor
    first: int
    rows: Tensor | None = None
    allowed: Tensor | None = None

    def row_numbers(self, positions: Tensor) -> Tensor:
        """Convert positions in the block to row numbers."""
        return positions + self.first if self.rows is None else self.rows[positions]

    def split(self, size: int) -> Iterator[tuple[int, Tensor, Tensor | None]]:
        """Yield at most `size` rows at a time: position of the first, vectors, mask."""
        for first in range(0, len(self.vectors), size):
            part = slice(first, first + size)
            yield first, self.vectors[part], None if self.allowed is None else self.allowed[part]


class QueryBatch:
    """The best rows so far for a batch of queries.

    A score and a row number form one int64 key, ordered by score, then by row, so that one top-k of
    keys merges blocks and resolves ties.

    Args:
        unit: (queries, dim) float32 unit vectors on the device.
        k: Rows to keep per query.
    """

    def __init__(self, unit: Tensor, k: int) -> None:
        self._unit = unit
        self._half = unit.half()
        self._grid = (unit.double() * GRID).round() / GRID
        self._k = k
        self._groups = k + max(8, k // 8)
        self.keys = torch.full((len(unit), k), EMPTY_KEY, device=unit.device)
        # Maximum first-pass score outside the selected groups.
        self._outside = torch.full((len(unit),), -torch.inf, device=unit.device)

    def prefers_full_scores(self, block: RowBlock) -> bool:
        """Whether scoring all rows exactly costs no more than scoring the selected groups."""
        return self._groups * GROUP_ROWS >= len(block.vectors) // 2

    def proven(self) -> Tensor:
        """Return (queries,) bool: whether no omitted row can belong among the answers."""
        error = (self._unit - self._half.float()).norm(dim=1) * (1 + 2**-10) + ACCUMULATION_ERROR
        proven: Tensor = key_scores(self.keys[:, -1]) > self._outside + error
        return proven

    def score_fully(self, block: RowBlock) -> None:
        """Score all rows exactly and keep the best."""
        max_rows = max(GROUP_ROWS, WORK_BYTES // (8 * block.vectors.shape[1]))
        for first, vectors, allowed in block.split(min(max_rows, self._rows_per_step(24))):
            scores = (self._grid @ vectors.double().T).float()
            if allowed is not None:
                scores.masked_fill_(~allowed, -torch.inf)
            positions = torch.arange(first, first + len(vectors), device=vectors.device)
            self._keep_best(scores, block.row_numbers(positions))

    def score_groups(self, block: RowBlock) -> None:
        """Score all rows in float16, and the rows of the best groups exactly."""
        maxima = torch.cat([
            _group_maxima(product(self._half, vectors), allowed)
            for _, vectors, allowed in block.split(self._rows_per_step(4))
        ], dim=1)  # fmt: skip
        best, groups = maxima.topk(self._groups + 1, dim=1, sorted=True)
        self._outside = torch.maximum(self._outside, best[:, -1])
        within = torch.arange(GROUP_ROWS, device=groups.device)
        step = max(1, WORK_BYTES // (10 * self._groups * GROUP_ROWS * block.vectors.shape[1]))
        for first in range(0, len(groups), step):
            queries = slice(first, first + step)
            positions = (groups[queries, :-1, None] * GROUP_ROWS + within).flatten(1)
            self._score_positions(block, queries, positions)

    def _rows_per_step(self, bytes_per_score: int) -> int:
        """Return the number of rows to score at once, a multiple of the group size."""
        queries, dim = self._unit.shape
        rows = min(WORK_BYTES // (queries * bytes_per_score), MATRIX_NUMBERS // dim)
        return max(GROUP_ROWS, rows // GROUP_ROWS * GROUP_ROWS)

    def _score_positions(self, block: RowBlock, queries: slice, positions: Tensor) -> None:
        """Score selected rows of each query exactly; `positions` is (queries, n)."""
        exists = positions < len(block.vectors)
        positions = positions.clamp(max=len(block.vectors) - 1)
        rows = block.vectors[positions].double()
        scores = torch.bmm(rows, self._grid[queries, :, None])[:, :, 0].float()
        if block.allowed is not None:
            exists &= block.allowed[positions]
        scores.masked_fill_(~exists, -torch.inf)
        self._keep_best(scores, block.row_numbers(positions), queries)

    def _keep_best(self, scores: Tensor, rows: Tensor, queries: slice = slice(None)) -> None:
        keys = torch.cat([self.keys[queries], _pack_keys(scores, rows)], dim=1)
        self.keys[queries] = keys.topk(self._k, dim=1, sorted=True)[0]


def product(queries: Tensor, vectors: Tensor) -> Tensor:
    """Return inner products of (queries, dim) and (n, dim) float16 in float32, (queries, n)."""
    if queries.is_cuda:
        return torch.mm(queries, vectors.T, out_dtype=torch.float32)
    return queries.float() @ vectors.float().T


def _group_maxima(scores: Tensor, allowed: Tensor | None) -> Tensor:
    """Return the maximum score of each group of consecutive rows, (queries, groups)."""
    if allowed is not None:
        scores.masked_fill_(~allowed, -torch.inf)
    missing = -scores.shape[1] % GROUP_ROWS
    if missing:
        scores = torch.nn.functional.pad(scores, (0, missing), value=-torch.inf)
    return scores.view(len(scores), -1, GROUP_ROWS).amax(dim=2)


def _pack_keys(scores: Tensor, rows: Tensor) -> Tensor:
    """Return keys that increase with the score and, for equal scores, decrease with the row."""
    bits = (scores + 0.0).view(torch.int32)  # Converts -0.0 to 0.0.
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (ordered.long() << 32) | (MAX_ROWS - rows)


def key_scores(keys: Tensor) -> Tensor:
    """Return the scores in keys, float32."""
    ordered = (keys >> 32).int()
    return (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).view(torch.float32)


def unpack_keys(keys: Tensor) -> tuple[Scores, Ids]:
    """Return the scores and row numbers in keys on the CPU."""
    return key_scores(keys).numpy(), (MAX_ROWS - (keys & MAX_ROWS)).numpy()
