"""The interface between a search and the collections that it asks, its *members*.

Arguments and results of all calls can be pickled, and are small: a member may live in another
process or on another machine. A call never depends on an earlier one; a member only remembers the
latest queries, by their key, to avoid repeated work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.search.calibration import Calibration
from retrieval.search.matches import ItemMatch
from retrieval.search.media_samples import MediaSamples
from retrieval.search.options import SearchOptions
from retrieval.search.query_vectors import QueryVectors
from retrieval.texts.matching import ItemGroups
from retrieval.texts.statistics import TextStatistics
from retrieval.texts.word_query import WordQuery
from retrieval.types import Hit, Medium, Scalar, Space, TimedRows

SpaceMatches = Mapping[str, Sequence[ItemMatch]]
"""Matches by name of the space; an item occurs at most once in each."""

ItemRow = tuple[str, Medium, dict[str, Scalar]]
"""Uri, modality and metadata of an item."""


@dataclass(frozen=True, slots=True)
class MemberContents:
    """What a search has to know about a member; it stays the same while the member is open.

    Attributes:
        spaces: All spaces.
        filled: Names of the spaces that have rows.
        items: Number of items.
        id_count: Item ids are less than this number.
        calibrations: Calibration of each space.
        columns: Names and types of the item columns.
        has_texts: Whether any item has a text.
    """

    spaces: tuple[Space, ...]
    filled: AbstractSet[str]
    items: int
    id_count: int
    calibrations: Mapping[str, Calibration]
    columns: pa.Schema
    has_texts: bool


@dataclass(frozen=True, slots=True)
class MemberQuery:
    """A query for one member, without its vectors.

    Attributes:
        key: Identifies the query.
        options: Targets, conditions, ids and text mode. The ids are those of the member.
        spaces: Names of the spaces to search; unknown ones are ignored.
        words: The words to match with texts; None: no texts are searched.
        excluded: Items of the member that the query consists of.
        columns: Columns that conditions may name although no item of the member has them.
        is_alone: Whether no other member is searched.
    """

    key: str
    options: SearchOptions
    spaces: AbstractSet[str]
    words: WordQuery | None = None
    excluded: tuple[int, ...] = ()
    columns: pa.Schema | None = None
    is_alone: bool = True


@dataclass(frozen=True, slots=True)
class PreparedQuery:
    """What a member found out about a query before its vectors are known.

    Attributes:
        spaces: Names of the spaces that have a matching row.
        texts: Counts of the texts for the terms of the query; None: no texts are searched.
        language: ISO 639-1 code of the stemmer of the texts.
        text_ms: Milliseconds that the words took.
        filter_ms: Milliseconds that conditions, targets and ids took.
    """

    spaces: AbstractSet[str]
    texts: TextStatistics | None
    language: str | None
    text_ms: float
    filter_ms: float


class WantedRows(NamedTuple):
    """The vectors of an item in one space and medium that a localizer reads."""

    item_id: int
    space: str
    medium: Medium
    reads_frames: bool = False


class Member(Protocol):
    """One collection that a search asks.

    `statistics` are the counts of all members for the terms of the query; see
    `PreparedQuery.texts`.

    All methods raise `IndexFileError` for a damaged file.
    """

    def contents(self) -> MemberContents:
        """Describe the member."""

    def prepare(self, query: MemberQuery) -> PreparedQuery:
        """Select the matching rows, and count the texts.

        Raises:
            FilterError: A condition is refused or too slow.
            QueryError: An excluded item does not exist, or an id is not an integer.
            IndexFileError, CollectionFormatError, StorageError: Only words are requested, and the
                index of texts cannot be used.
        """

    def find_texts(self, query: MemberQuery, statistics: TextStatistics, limit: int) -> ItemGroups:
        """Find the items whose texts match best."""

    def find(
        self, query: MemberQuery, vectors: Mapping[str, QueryVectors], limit: int
    ) -> SpaceMatches:
        """Find the best items of each space, at least `limit` if so many match.

        Of a query of several vectors, other members need the best items of each vector.
        """

    def match_texts(
        self, query: MemberQuery, statistics: TextStatistics, item_ids: Sequence[int]
    ) -> ItemGroups:
        """Match the texts of some items, which vectors found, the best first."""

    def score(
        self, query: MemberQuery, vectors: Mapping[str, QueryVectors], item_ids: Sequence[int]
    ) -> SpaceMatches:
        """Score some items in each space; those without a selected row are left out."""

    def complete_texts(
        self, query: MemberQuery, statistics: TextStatistics, groups: ItemGroups
    ) -> ItemGroups:
        """Extend the moments of matching texts to all neighbouring cues that match."""

    def first_spaces(
        self, items: Sequence[tuple[int, Medium]], spaces: Sequence[str]
    ) -> list[str | None]:
        """Return the first of some spaces in which each item has rows of a medium."""

    def timed_rows(self, wanted: Sequence[WantedRows]) -> list[TimedRows]:
        """Read frames, or else segments."""

    def rows(self, item_ids: Sequence[int]) -> list[ItemRow]:
        """Read the columns of items."""

    def item_vectors(self, space: str, item_id: int) -> NDArray[np.float32]:
        """Read the stored vectors of an item, (m, dim); m = 0 without segments in the space."""

    def finish(
        self, hits: Sequence[Hit], vectors: Mapping[str, QueryVectors] | None
    ) -> Sequence[Hit]:
        """Mark missing files, and attach the stored vectors of hits unless `vectors` is None."""

    def row_counts(self, space: str) -> dict[Medium, int]:
        """Count the indexed rows of each medium in a space."""

    def media_samples(
        self, space: str, medium: Medium, positions: NDArray[np.int64]
    ) -> MediaSamples:
        """Read indexed rows by their positions among those of a medium."""

    def best_of_others(
        self, space: str, medium: Medium, samples: MediaSamples
    ) -> NDArray[np.float32]:
        """Return the best score of each sample among indexed rows of other items, (n,)."""

    def probe_statistics(self) -> list[TextStatistics] | None:
        """Count the texts for each probe of the calibration; None without texts."""

    def probe_coverages(self, statistics: Sequence[TextStatistics]) -> list[float]:
        """Return the best coverage of each probe of the calibration."""
