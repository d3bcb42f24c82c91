"""Similarity of two rankings of hashable items."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

PERSISTENCE = 0.9
"""Probability of continuing to the next rank; gives the first ten ranks 86 % of the weight."""


def jaccard(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Return the size of the intersection over that of the union; 1 if both are empty."""
    union = set(first) | set(second)
    return len(set(first) & set(second)) / len(union) if union else 1.0


def rank_biased_overlap(
    first: Sequence[Hashable], second: Sequence[Hashable], p: float = PERSISTENCE
) -> float:
    """Return the extrapolated rank-biased overlap, which weighs the first ranks most.

    RBO_EXT of Webber, Moffat and Zobel (2010), equation 32. It extrapolates the agreement beyond
    the end of the rankings, which may differ in length.

    Args:
        first: Distinct items, best first.
        second: Distinct items of the other ranking, best first.
        p: Persistence, between 0 and 1; near 0 only the first item counts.

    Returns:
        1 for equal or two empty rankings; 0 if no item is in both.
    """
    if not 0 < p < 1:
        raise ValueError(f"the persistence must lie between 0 and 1, got {p}")
    shorter, longer = sorted((first, second), key=len)
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
