"""Scores of float16 rows in torch, and the best of them.

Every row is scored with float16 queries, of which only the best of each group of rows is kept: that
takes one pass over the scores where a top-k takes several. The best groups' rows are scored again
properly (`indexes.scoring`), and a bound on the rounding of the first pass proves that no other row
belongs among the answers.
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
"""Rows of which the first pass keeps the best score."""

WORK_BYTES: Final = 1 << 29
"""Largest piece of scores, or of rows gathered for the second pass."""

MATRIX_NUMBERS: Final = 1 << 31
"""Most numbers in one matrix of rows: cuBLAS counts in 32 bits in places."""

ACCUMULATION_ERROR: Final = 1e-5
"""More than what adding up in float32 may lose in a score of unit vectors."""

MAX_ROWS: Final = (1 << 32) - 1
NOTHING: Final = torch.iinfo(torch.int64).min


@dataclass(frozen=True, slots=True)
class Block:
    """Rows on the device: neighbours from `first` on, or those that `rows` names.

    `vectors` is (n, dim) float16, `rows` (n,) int64, `allowed` (n,) bool.
    """

    vectors: Tensor
    first: int
    rows: Tensor | None = None
    allowed: Tensor | None = None

    def row_numbers(self, positions: Tensor) -> Tensor:
        """Row numbers of positions in the block."""
        return positions + self.first if self.rows is None else self.rows[positions]

    def parts(self, size: int) -> Iterator[tuple[int, Tensor, Tensor | None]]:
        """At most `size` neighbours at a time: position of the first, vectors, mask."""
        for first in range(0, len(self.vectors), size):
            part = slice(first, first + size)
            yield first, self.vectors[part], None if self.allowed is None else self.allowed[part]


class QueryBlock:
    """The best rows so far of a few queries.

    A row and its score make one int64 key, ordered by score, then by row; so one top-k of keys
    merges blocks and settles ties.
    """

    def __init__(self, unit: Tensor, k: int) -> None:
        self._unit = unit
        self._half = unit.half()
        self._grid = (unit.double() * GRID).round() / GRID
        self._k = k
        self._groups = k + max(8, k // 8)
        self.keys = torch.full((len(unit), k), NOTHING, device=unit.device)
        # No row outside the chosen groups scored more than this in the first pass.
        self._outside = torch.full((len(unit),), -torch.inf, device=unit.device)

    def wants_all_of(self, block: Block) -> bool:
        """Whether the groups to choose are so many that scoring all rows in full costs no more."""
        return self._groups * GROUP_ROWS >= len(block.vectors) // 2

    def proven(self) -> Tensor:
        """(queries,) bool: no row that was left out can belong among the answers."""
        error = (self._unit - self._half.float()).norm(dim=1) * (1 + 2**-10) + ACCUMULATION_ERROR
        proven: Tensor = scores_of(self.keys[:, -1]) > self._outside + error
        return proven

    def score_fully(self, block: Block) -> None:
        """Score all rows in full and keep the best."""
        most = max(GROUP_ROWS, WORK_BYTES // (8 * block.vectors.shape[1]))
        for first, vectors, allowed in block.parts(min(most, self._piece(24))):
            scores = (self._grid @ vectors.double().T).float()
            if allowed is not None:
                scores.masked_fill_(~allowed, -torch.inf)
            positions = torch.arange(first, first + len(vectors), device=vectors.device)
            self._keep(scores, block.row_numbers(positions))

    def score_groups(self, block: Block) -> None:
        """Score all rows roughly, and the rows of the best groups in full."""
        maxima = torch.cat([
            _group_maxima(product(self._half, vectors), allowed)
            for _, vectors, allowed in block.parts(self._piece(4))
        ], dim=1)  # fmt: skip
        best, groups = maxima.topk(self._groups + 1, dim=1, sorted=True)
        self._outside = torch.maximum(self._outside, best[:, -1])
        within = torch.arange(GROUP_ROWS, device=groups.device)
        step = max(1, WORK_BYTES // (10 * self._groups * GROUP_ROWS * block.vectors.shape[1]))
        for first in range(0, len(groups), step):
            some = slice(first, first + step)
            positions = (groups[some, :-1, None] * GROUP_ROWS + within).flatten(1)
            self._score_positions(block, some, positions)

    def _piece(self, bytes_per_score: int) -> int:
        """Rows to score at once, a multiple of the group."""
        queries, dim = self._unit.shape
        rows = min(WORK_BYTES // (queries * bytes_per_score), MATRIX_NUMBERS // dim)
        return max(GROUP_ROWS, rows // GROUP_ROWS * GROUP_ROWS)

    def _score_positions(self, block: Block, some: slice, positions: Tensor) -> None:
        """Score a few rows of each query in full; `positions` is (queries, n)."""
        exists = positions < len(block.vectors)
        positions = positions.clamp(max=len(block.vectors) - 1)
        rows = block.vectors[positions].double()
        scores = torch.bmm(rows, self._grid[some, :, None])[:, :, 0].float()
        if block.allowed is not None:
            exists &= block.allowed[positions]
        scores.masked_fill_(~exists, -torch.inf)
        self._keep(scores, block.row_numbers(positions), some)

    def _keep(self, scores: Tensor, rows: Tensor, some: slice = slice(None)) -> None:
        found = torch.cat([self.keys[some], _packed(scores, rows)], dim=1)
        self.keys[some] = found.topk(self._k, dim=1, sorted=True)[0]


def product(queries: Tensor, vectors: Tensor) -> Tensor:
    """Inner products of (queries, dim) and (n, dim) float16 in float32, (queries, n)."""
    if queries.is_cuda:
        return torch.mm(queries, vectors.T, out_dtype=torch.float32)
    return queries.float() @ vectors.float().T


def _group_maxima(scores: Tensor, allowed: Tensor | None) -> Tensor:
    """The best score of each group of neighbours, (queries, groups)."""
    if allowed is not None:
        scores.masked_fill_(~allowed, -torch.inf)
    missing = -scores.shape[1] % GROUP_ROWS
    if missing:
        scores = torch.nn.functional.pad(scores, (0, missing), value=-torch.inf)
    return scores.view(len(scores), -1, GROUP_ROWS).amax(dim=2)


def _packed(scores: Tensor, rows: Tensor) -> Tensor:
    """Keys that order by score, best last, then by row, last first."""
    bits = (scores + 0.0).view(torch.int32)  # -0.0 becomes 0.0
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (ordered.long() << 32) | (MAX_ROWS - rows)


def scores_of(keys: Tensor) -> Tensor:
    """The scores in keys, float32."""
    ordered = (keys >> 32).int()
    return (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).view(torch.float32)


def unpacked(keys: Tensor) -> tuple[Scores, Ids]:
    """Scores and row numbers of keys on the CPU."""
    return scores_of(keys).numpy(), (MAX_ROWS - (keys & MAX_ROWS)).numpy()
