"""A member of a search that lives in another process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.search.media_samples import MediaSamples
from retrieval.search.member import (
    ItemRow,
    MemberContents,
    MemberQuery,
    PreparedQuery,
    SpaceMatches,
    WantedRows,
)
from retrieval.search.query_vectors import QueryVectors
from retrieval.texts.matching import ItemGroups
from retrieval.texts.statistics import TextStatistics
from retrieval.types import Hit, Medium, TimedRows

Call = Callable[[str, str, tuple[Any, ...]], Any]
"""Calls a method of a member: its name, the method and the arguments."""


class RemoteMember:
    """Implements `Member`; a function carries out each call.

    All methods raise `MemberUnavailableError` if the member does not answer.
    """

    def __init__(self, name: str, call: Call) -> None:
        self._name = name
        self._send = call

    def _call(self, method: str, arguments: tuple[Any, ...]) -> Any:
        return self._send(self._name, method, arguments)

    def contents(self) -> MemberContents:
        """Describe the member."""
        result: MemberContents = self._call("contents", ())
        return result

    def prepare(self, query: MemberQuery) -> PreparedQuery:
        """Select the matching rows, and count the texts."""
        result: PreparedQuery = self._call("prepare", (query,))
        return result

    def find_texts(self, query: MemberQuery, statistics: TextStatistics, limit: int) -> ItemGroups:
        """Find the items whose texts match best."""
        result: ItemGroups = self._call("find_texts", (query, statistics, limit))
        return result

    def find(
        self, query: MemberQuery, vectors: Mapping[str, QueryVectors], limit: int
    ) -> SpaceMatches:
        """Find the best items of each space, at least `limit` if so many match."""
        result: SpaceMatches = self._call("find", (query, vectors, limit))
        return result

    def match_texts(
        self, query: MemberQuery, statistics: TextStatistics, item_ids: Sequence[int]
    ) -> ItemGroups:
        """Match the texts of some items, which vectors found, the best first."""
        result: ItemGroups = self._call("match_texts", (query, statistics, item_ids))
        return result

    def score(
        self, query: MemberQuery, vectors: Mapping[str, QueryVectors], item_ids: Sequence[int]
    ) -> SpaceMatches:
        """Score some items in each space; those without a selected row are left out."""
        result: SpaceMatches = self._call("score", (query, vectors, item_ids))
        return result

    def complete_texts(
        self, query: MemberQuery, statistics: TextStatistics, groups: ItemGroups
    ) -> ItemGroups:
        """Extend the moments of matching texts to all neighbouring cues that match."""
        result: ItemGroups = self._call("complete_texts", (query, statistics, groups))
        return result

    def first_spaces(
        self, items: Sequence[tuple[int, Medium]], spaces: Sequence[str]
    ) -> list[str | None]:
        """Return the first of some spaces in which each item has rows of a medium."""
        result: list[str | None] = self._call("first_spaces", (items, spaces))
        return result

    def timed_rows(self, wanted: Sequence[WantedRows]) -> list[TimedRows]:
        """Read frames, or else segments."""
        result: list[TimedRows] = self._call("timed_rows", (wanted,))
        return result

    def rows(self, item_ids: Sequence[int]) -> list[ItemRow]:
        """Read the columns of items."""
        result: list[ItemRow] = self._call("rows", (item_ids,))
        return result

    def item_vectors(self, space: str, item_id: int) -> NDArray[np.float32]:
        """Read the stored vectors of an item, (m, dim); m = 0 without segments in the space."""
        result: NDArray[np.float32] = self._call("item_vectors", (space, item_id))
        return result

    def finish(
        self, hits: Sequence[Hit], vectors: Mapping[str, QueryVectors] | None
    ) -> Sequence[Hit]:
        """Mark missing files, and attach the stored vectors of hits unless `vectors` is None."""
        result: Sequence[Hit] = self._call("finish", (hits, vectors))
        return result

    def row_counts(self, space: str) -> dict[Medium, int]:
        """Count the indexed rows of each medium in a space."""
        result: dict[Medium, int] = self._call("row_counts", (space,))
        return result

    def media_samples(
        self, space: str, medium: Medium, positions: NDArray[np.int64]
    ) -> MediaSamples:
        """Read indexed rows by their positions among those of a medium."""
        result: MediaSamples = self._call("media_samples", (space, medium, positions))
        return result

    def best_of_others(
        self, space: str, medium: Medium, samples: MediaSamples
    ) -> NDArray[np.float32]:
        """Return the best score of each sample among indexed rows of other items, (n,)."""
        result: NDArray[np.float32] = self._call("best_of_others", (space, medium, samples))
        return result

    def probe_statistics(self) -> list[TextStatistics] | None:
        """Count the texts for each probe of the calibration; None without texts."""
        result: list[TextStatistics] | None = self._call("probe_statistics", ())
        return result

    def probe_coverages(self, statistics: Sequence[TextStatistics]) -> list[float]:
        """Return the best coverage of each probe of the calibration."""
        result: list[float] = self._call("probe_coverages", (statistics,))
        return result
