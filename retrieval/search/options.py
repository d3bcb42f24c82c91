"""The options of one search."""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import QueryError, short_repr
from retrieval.search.reranking.reranker import RERANK_TOP, Reranker
from retrieval.targets import Target, TextMode


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """Which items a search considers and which hits it returns.

    Attributes:
        to: Targets to find; empty: images, music and videos.
        k: Number of hits.
        offset: Number of hits to skip before the first returned one.
        where: SQL condition over the items' columns; several must all hold.
        ids: Search these items only; None: all items.
        spaces: Names of the spaces to search; None: all spaces.
        cutoff: Drop hits that are not likely.
        min_score: Drop hits with a lower score whose texts do not match.
        reranker: Re-ranks the images among the first hits; None: no second stage.
        rerank_top: Number of first-stage hits that the re-ranker considers.
        text: Whether a text query also matches words of the items' texts.
        with_vectors: Attach the stored vector of the best segment to each hit.

    Raises:
        QueryError: A count is not an integer or too small, or `min_score` is not finite.
    """

    to: Collection[Target] = ()
    k: int = 10
    offset: int = 0
    where: str | Sequence[str] | None = None
    ids: Sequence[int] | NDArray[np.integer] | None = None
    spaces: Sequence[str] | None = None
    cutoff: bool = False
    min_score: float | None = None
    reranker: Reranker | None = None
    rerank_top: int = RERANK_TOP
    with_vectors: bool = False
    text: TextMode = TextMode.AUTO

    def __post_init__(self) -> None:
        _check_count("k", self.k, 1)
        _check_count("offset", self.offset, 0)
        _check_count("rerank_top", self.rerank_top, 1)
        score = self.min_score
        if score is not None and not (
            isinstance(score, int | float | np.number) and math.isfinite(score)
        ):
            raise QueryError(f"min_score must be a finite number, got {short_repr(score)}")

    @property
    def first_stage_hits(self) -> int:
        """Number of hits that the first stage must deliver."""
        last = self.offset + self.k
        return last if self.reranker is None else max(last, self.rerank_top)


def _check_count(name: str, value: object, minimum: int) -> None:
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # raises for everything else
    except TypeError:
        raise QueryError(f"{name} must be a whole number, got {short_repr(value)}") from None
    if number < minimum:
        raise QueryError(f"{name} must be at least {minimum}, got {number}")
