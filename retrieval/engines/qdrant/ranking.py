"""Finds the items of a pushed collection that are nearest to a query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.vectors import unit_queries
from retrieval.engines.qdrant.card import PushedCard
from retrieval.engines.qdrant.conditions import all_of, matches, none_of
from retrieval.engines.qdrant.payload import (
    END,
    ITEM_ID,
    MEDIUM,
    MODALITY,
    START,
    URI,
    PayloadColumn,
    metadata_of,
)
from retrieval.engines.qdrant.server import QdrantServer
from retrieval.search.calibration import QueryType
from retrieval.search.query_vectors import QueryVectors
from retrieval.search.ranking import clip_score
from retrieval.types import Hit, Medium

TIE_ITEMS = 8
"""Further items to ask for, so that equal scores are ordered by item id at the last rank too."""

TIE_POINTS = 4
"""Points of an item to ask for, so that the earliest of equal ones is shown, as for silence."""

DIGITS = 6
"""Decimals that tell the scores of two points of an item apart."""


@dataclass(frozen=True, slots=True)
class PushedMatch:
    """The best point of an item in one space, and the score of the item.

    Attributes:
        point_score: Inner product of the best point; the score of an item is a mean over the
            vectors of a query.
        vector: (dim,) float32 of the best point; None unless requested.
    """

    item_id: int
    score: float
    point_score: float
    payload: Mapping[str, Any]
    vector: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class RankedMatch:
    """A match with its space and its calibrated score."""

    match: PushedMatch
    space: str
    calibrated: float
    likely: bool

    def hit(self, columns: Sequence[PayloadColumn]) -> Hit:
        """Convert to a hit without a rank."""
        payload = self.match.payload
        return Hit(
            rank=0,
            score=clip_score(self.match.score),
            item_id=self.match.item_id,
            uri=payload[URI],
            modality=Medium(payload[MODALITY]),
            medium=Medium(payload[MEDIUM]),
            start_seconds=_seconds(payload.get(START)),
            end_seconds=_seconds(payload.get(END)),
            space=self.space,
            likely=self.likely,
            metadata=metadata_of(payload, columns),
            vector=self.match.vector,
        )


class PushedPoints:
    """The points of one Qdrant collection.

    Args:
        server: The server or folder.
        collection: Its name.
        with_vectors: Read the vectors of matches.
    """

    def __init__(
        self, server: QdrantServer, collection: str, *, with_vectors: bool = False
    ) -> None:
        self._server = server
        self._collection = collection
        self._with_vectors = with_vectors

    def has_points(self, space: str, condition: Any) -> bool:
        """Whether a point that matches a filter has a vector of a space."""
        from qdrant_client.models import HasVectorCondition

        records, _ = self._server.call(
            "scroll",
            self._collection,
            scroll_filter=all_of(condition, HasVectorCondition(has_vector=space)),
            limit=1,
            with_payload=False,
            with_vectors=False,
        )
        return bool(records)

    def count(self, condition: Any = None) -> int:
        """Count the points that match a filter; None: all."""
        answer = self._server.call("count", self._collection, count_filter=condition, exact=True)
        return int(answer.count)

    def item_vectors(self, space: str, item_id: int, dim: int) -> NDArray[np.float32]:
        """Return the vectors of an item in a space in order of time, (m, dim)."""
        rows: list[tuple[str, float, list[float]]] = []
        offset: Any = None
        while True:
            records, offset = self._server.call(
                "scroll", self._collection, scroll_filter=all_of(matches(ITEM_ID, [item_id])),
                limit=1024, offset=offset, with_payload=[MEDIUM, START], with_vectors=[space],
            )  # fmt: skip
            for record in records:
                vector = (record.vector or {}).get(space)
                if vector is not None:
                    start = record.payload.get(START)
                    rows.append((record.payload[MEDIUM], start or 0.0, vector))
            if offset is None:
                break
        vectors = [vector for _, _, vector in sorted(rows, key=lambda row: row[:2])]
        return np.array(vectors, np.float32).reshape(-1, dim)

    def best_items(
        self, space: str, vectors: NDArray[np.float32], condition: Any, limit: int
    ) -> list[PushedMatch]:
        """Find the best items by their best points, best first.

        Several vectors score an item by the mean, over the vectors, of its best point.

        Args:
            space: Name of the vectors.
            vectors: (m, dim) float32.
            condition: Filter of the points.
            limit: Number of items.
        """
        # As in a collection: vectors of a file are scored as they are, a single one at unit length.
        unit = unit_queries(vectors, vectors.shape[1])
        found = [self._nearest(space, vector, condition, limit) for vector in unit]
        if len(vectors) > 1:
            ids = sorted({item_id for by_item in found for item_id in by_item})
            found = [self._scores(space, vector, condition, ids) for vector in vectors]
        return _sorted(_mean([each[item_id] for each in found]) for item_id in found[0])[:limit]

    def _nearest(
        self, space: str, vector: NDArray[np.float32], condition: Any, limit: int
    ) -> dict[int, PushedMatch]:
        """Find the best items for one vector, by item; equal scores are ordered by item."""
        found = self._best(space, vector, condition, limit + TIE_ITEMS)
        return {match.item_id: match for match in _sorted(found.values())[:limit]}

    def _scores(
        self, space: str, vector: NDArray[np.float32], condition: Any, ids: Sequence[int]
    ) -> dict[int, PushedMatch]:
        """Score given items by their best points."""
        if not ids:
            return {}
        restricted = all_of(condition, matches(ITEM_ID, ids))
        return self._best(space, vector, restricted, len(ids), exact=True)

    def _best(
        self,
        space: str,
        vector: NDArray[np.float32],
        condition: Any,
        limit: int,
        *,
        exact: bool = False,
    ) -> dict[int, PushedMatch]:
        """Find the best points of the best items for one vector, by item.

        A server stops looking for further groups after some requests. So while fewer items than
        requested are found, it is asked again without them.
        """
        from qdrant_client.models import SearchParams

        found: dict[int, PushedMatch] = {}
        # In a folder, every search is exact, and parameters give a warning.
        options = {"search_params": SearchParams(exact=True)} if self._is_exact(exact) else {}
        while len(found) < limit:
            others = none_of(matches(ITEM_ID, list(found))) if found else condition
            groups = self._server.call(
                "query_points_groups",
                self._collection,
                group_by=ITEM_ID,
                query=vector.tolist(),
                using=space,
                query_filter=all_of(condition, others) if found else condition,
                limit=limit - len(found),
                group_size=TIE_POINTS,
                with_payload=True,
                with_vectors=[space] if self._with_vectors else False,
                **options,
            ).groups
            for group in groups:
                match = self._match(min(group.hits, key=_order), space)
                found[match.item_id] = match
            if not groups or self._server.is_local:  # a folder returns all groups at once
                break
        return found

    def _is_exact(self, exact: bool) -> bool:
        return exact and not self._server.is_local

    def _match(self, point: Any, space: str) -> PushedMatch:
        vector = np.array(point.vector[space], np.float32) if self._with_vectors else None
        return PushedMatch(
            int(point.payload[ITEM_ID]), point.score, point.score, point.payload, vector
        )


def rank(
    points: PushedPoints,
    card: PushedCard,
    vectors: Mapping[str, QueryVectors],
    condition: Any,
    limit: int,
) -> list[RankedMatch]:
    """Find the best items of all spaces, each once, best first.

    Scores of one space are compared as they are, those of several by their calibration.
    """
    best: dict[int, RankedMatch] = {}
    for space, query in vectors.items():
        for match in points.best_items(space, query.vectors, condition, limit):
            ranked = _calibrated(match, space, card, query.query_type)
            previous = best.get(match.item_id)
            if previous is None or ranked.calibrated > previous.calibrated:
                best[match.item_id] = ranked
    one_space = len(vectors) < 2

    def key(ranked: RankedMatch) -> tuple[float, int]:
        score = ranked.match.score if one_space else ranked.calibrated
        return -score, ranked.match.item_id

    return sorted(best.values(), key=key)[:limit]


def _calibrated(
    match: PushedMatch, space: str, card: PushedCard, query_type: QueryType
) -> RankedMatch:
    calibration, medium = card.calibration(space), Medium(match.payload[MEDIUM])
    return RankedMatch(
        match,
        space,
        calibration.calibrated(match.score, query_type, medium),
        calibration.likely(match.score, query_type, medium),
    )


def _mean(matches: Sequence[PushedMatch]) -> PushedMatch:
    """Combine the matches of one item for several vectors."""
    best = min(
        matches,
        key=lambda match: (-round(match.point_score, DIGITS), match.payload.get(START) or 0.0),
    )
    score = sum(match.score for match in matches) / len(matches)
    return PushedMatch(best.item_id, score, best.point_score, best.payload, best.vector)


def _sorted(matches: Iterable[PushedMatch]) -> list[PushedMatch]:
    return sorted(matches, key=lambda match: (-match.score, match.item_id))


def _order(point: Any) -> tuple[float, float]:
    """Order the points of an item: the best first, and of equal ones the earliest."""
    return -round(point.score, DIGITS), point.payload.get(START) or 0.0


def _seconds(value: float | None) -> float | None:
    return None if value is None else float(value)
