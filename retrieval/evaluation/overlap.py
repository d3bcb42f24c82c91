"""How alike two rankings are, one definition each; items are compared by name."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

PERSISTENCE = 0.9
"""Chance that a reader goes on to the next rank: the first ten then carry 86 % of the weight."""


def jaccard(one: Sequence[Hashable], other: Sequence[Hashable]) -> float:
    """Items in both over items in either, whatever their order; 1 where both are empty."""
    either = set(one) | set(other)
    return len(set(one) & set(other)) / len(either) if either else 1.0


def rank_biased_overlap(
    one: Sequence[Hashable], other: Sequence[Hashable], p: float = PERSISTENCE
) -> float:
    """Extrapolated rank-biased overlap: agreement at every depth, the first ones weighing most.

    RBO_EXT of Webber, Moffat and Zobel (2010), equation 32, which also compares rankings of
    unequal length: it takes the agreement that was seen to go on beyond them.

    Args:
        one: Items, best first, none twice.
        other: The same of the other ranking.
        p: Persistence, between 0 and 1; near 0 only the first item counts.

    Returns:
        1 for equal rankings, and two empty ones; 0 where no item is in both.
    """
    if not 0 < p < 1:
        raise ValueError(f"the persistence must lie between 0 and 1, got {p}")
    shorter, longer = sorted((one, other), key=len)
    if not shorter:
        return float(not longer)
    s, length = len(shorter), len(longer)
    common = [len(set(shorter[:depth]) & set(longer[:depth])) for depth in range(1, length + 1)]
    total = sum(common[depth - 1] / depth * p**depth for depth in range(1, length + 1))
    total += sum(
        common[s - 1] * (depth - s) / (s * depth) * p**depth for depth in range(s + 1, length + 1)
    )
    last = (common[-1] - common[s - 1]) / length + common[s - 1] / s
    return (1 - p) / p * total + last * p**length
