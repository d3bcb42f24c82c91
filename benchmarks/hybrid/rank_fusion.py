"""Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009), the usual baseline."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final, TypeVar

from benchmarks.results.outcome import VideoMoment
from retrieval.localization.spans import overlap

RRF_K: Final = 60
"""Constant that is added to every rank; the value of the paper."""

SAME_MOMENT: Final = 0.5
"""Moments of two rankings are one if their intersection over union is at least this."""

Item = TypeVar("Item", bound=Hashable)


def fuse_ranks(rankings: Sequence[Sequence[Item]], k: int = RRF_K) -> list[tuple[Item, float]]:
    """Fuse rankings: an item scores the sum of 1 / (k + rank) over the rankings that have it.

    Args:
        rankings: Items, best first; an item occurs once in a ranking.
        k: Constant that is added to every rank, which starts at 1.

    Returns:
        Items with their scores, best first. Equal items keep the order of the first ranking that
        has one of them.
    """
    scores: dict[Item, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            scores[item] = scores.get(item, 0.0) + 1 / (k + rank)
    return sorted(scores.items(), key=lambda entry: -entry[1])


def fuse_moment_ranks(
    rankings: Sequence[Sequence[VideoMoment]], k: int = RRF_K
) -> list[VideoMoment]:
    """Fuse rankings of moments.

    A moment joins the best moment of an earlier ranking in the same video that it overlaps by at
    least `SAME_MOMENT` and that no other moment of its own ranking joined. The moment with the
    better rank gives the span.
    """
    fused: list[_FusedMoment] = []
    for ranking in rankings:
        joined: set[int] = set()
        earlier = len(fused)
        for rank, moment in enumerate(ranking, 1):
            number = next(
                (
                    number
                    for number, other in enumerate(fused[:earlier])
                    if number not in joined and other.is_same(moment)
                ),
                None,
            )
            if number is None:
                fused.append(_FusedMoment(moment, rank, 1 / (k + rank)))
            else:
                joined.add(number)
                fused[number] = fused[number].joined(moment, rank, 1 / (k + rank))
    fused.sort(key=lambda entry: -entry.score)
    return [(*entry.moment[:3], entry.score) for entry in fused]


class _FusedMoment:
    """A moment with its best rank and its score."""

    def __init__(self, moment: VideoMoment, rank: int, score: float) -> None:
        self.moment = moment
        self.rank = rank
        self.score = score

    def is_same(self, other: VideoMoment) -> bool:
        video, start, end, _ = self.moment
        return video == other[0] and overlap((start, end), (other[1], other[2])) >= SAME_MOMENT

    def joined(self, moment: VideoMoment, rank: int, score: float) -> _FusedMoment:
        best = (moment, rank) if rank < self.rank else (self.moment, self.rank)
        return _FusedMoment(*best, self.score + score)
