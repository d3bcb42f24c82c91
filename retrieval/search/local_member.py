"""A member of a search whose files this process opens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.caching import LruCache
from retrieval.media.sources.presence import is_missing
from retrieval.search.filtering import RowFilter, SelectedPart, conditions_below
from retrieval.search.hit_vectors import with_vectors
from retrieval.search.hits import with_values
from retrieval.search.indexing.card import IndexCard
from retrieval.search.items import ItemTable
from retrieval.search.matches import find_matches, score_matches
from retrieval.search.media_samples import MediaSamples, best_of_parts, samples_of
from retrieval.search.member import (
    ItemRow,
    MemberContents,
    MemberQuery,
    PreparedQuery,
    SpaceMatches,
    WantedRows,
)
from retrieval.search.open_space import OpenedSpace, Part
from retrieval.search.query_vectors import QueryVectors
from retrieval.search.result import Stopwatch
from retrieval.search.text_stage import TextSearch, TextStage
from retrieval.search.timed_rows import part_of, read_timed_rows
from retrieval.store.reader import Snapshot
from retrieval.store.schema import MEDIUM_CODES
from retrieval.targets import TextMode
from retrieval.texts.matching import ItemGroups
from retrieval.texts.probes import probe_coverages, probe_statistics
from retrieval.texts.statistics import TextStatistics
from retrieval.types import Hit, Medium, TimedRows

MAX_QUERIES = 16
"""Number of queries whose selected rows are remembered until their search ends."""


@dataclass(frozen=True, slots=True)
class _Selected:
    """The rows and texts that a query may find.

    Attributes:
        rows: Selected rows by space.
        text: The texts; None if no texts are searched.
        prepared: The answer of `prepare`.
    """

    rows: Mapping[str, Sequence[SelectedPart]]
    text: TextSearch | None
    prepared: PreparedQuery


class LocalMember:
    """Implements `Member` over one snapshot, whose indexes it opens.

    Args:
        snapshot: The generation to search.
        exact: Ignore approximate indexes.
        device: Device to search on: `cpu`, `cuda` or `auto`.
        below: Searches return only the files below this folder; None: all.

    Raises:
        CollectionFormatError: A card is invalid or belongs to another space.
        IndexFileError: A file of an index is missing or damaged.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        exact: bool = False,
        device: str = "cpu",
        below: Path | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._below = below
        self._spaces = {
            space.name: OpenedSpace(snapshot, space, exact=exact, device=device)
            for space in snapshot.spaces
        }
        self.items = ItemTable(snapshot)
        self._filter = RowFilter(snapshot, self.items)
        self._texts = TextStage(snapshot, self.items)
        self._selected: LruCache[str, _Selected] = LruCache(MAX_QUERIES)

    def cards(self, space: str) -> list[IndexCard]:
        """Return the cards of the parts of a space's index."""
        return self._spaces[space].cards

    def contents(self) -> MemberContents:
        """Describe the member."""
        snapshot = self._snapshot
        return MemberContents(
            spaces=tuple(snapshot.spaces),
            filled={name for name, opened in self._spaces.items() if opened.parts},
            items=len(self.items.item_ids),
            id_count=snapshot.manifest.next_item_id,
            calibrations={name: opened.calibration for name, opened in self._spaces.items()},
            columns=snapshot.items_schema(),
            has_texts=bool(snapshot.manifest.files_in("texts")),
        )

    def prepare(self, query: MemberQuery) -> PreparedQuery:
        """Select the matching rows, and count the texts."""
        return self._select(query).prepared

    def _select(self, query: MemberQuery) -> _Selected:
        return self._selected.get(query.key, lambda: self._compute(query))

    def _compute(self, query: MemberQuery) -> _Selected:
        stopwatch = Stopwatch()
        options = query.options
        if self._below is not None:
            options = replace(options, where=conditions_below(self._below, options.where))
        text = texts = None
        if query.words is not None:
            text = self._texts.start(query.words, options.text)
            texts = text.statistics()
            options = text.restrict(options)
        text_ms = stopwatch.lap()
        # The condition is checked even if words alone are searched.
        spaces = [opened for name, opened in self._spaces.items() if name in query.spaces]
        columns = self._empty_columns(query)
        rows = self._filter.select_rows(spaces, options, query.excluded, columns)
        filter_ms = stopwatch.lap()
        if text is not None:
            opened = list(self._spaces.values())
            text.allow(self._filter.select_items(opened, options, columns))
        return _Selected(
            rows,
            text,
            PreparedQuery(
                spaces={name for name, parts in rows.items() if parts},
                texts=texts if text is not None and text.is_usable else None,
                language=None if text is None else text.language,
                text_ms=text_ms + stopwatch.lap(),
                filter_ms=filter_ms,
            ),
        )

    def _empty_columns(self, query: MemberQuery) -> tuple[pa.Field, ...]:
        """Return the columns of conditions that no item of this member has."""
        if query.columns is None or not query.options.where:
            return ()
        own = {name.casefold() for name in self._snapshot.items_schema().names}
        return tuple(field for field in query.columns if field.name.casefold() not in own)

    def find_texts(self, query: MemberQuery, statistics: TextStatistics, limit: int) -> ItemGroups:
        """Find the items whose texts match best."""
        text = self._select(query).text
        return {} if text is None else text.find(statistics, limit)

    def find(
        self, query: MemberQuery, vectors: Mapping[str, QueryVectors], limit: int
    ) -> SpaceMatches:
        """Find the best items of each space, at least `limit` if so many match."""
        rows = self._select(query).rows
        return {
            name: find_matches(rows[name], query_vectors, limit, is_alone=query.is_alone)
            for name, query_vectors in vectors.items()
            if name in rows
        }

    def match_texts(
        self, query: MemberQuery, statistics: TextStatistics, item_ids: Sequence[int]
    ) -> ItemGroups:
        """Match the texts of some items, which vectors found, the best first."""
        text = self._select(query).text
        return {} if text is None else text.find_in(statistics, item_ids)

    def score(
        self, query: MemberQuery, vectors: Mapping[str, QueryVectors], item_ids: Sequence[int]
    ) -> SpaceMatches:
        """Score some items in each space; those without a selected row are left out."""
        rows = self._select(query).rows
        return {
            name: score_matches(rows[name], query_vectors, item_ids)
            for name, query_vectors in vectors.items()
            if name in rows
        }

    def complete_texts(
        self, query: MemberQuery, statistics: TextStatistics, groups: ItemGroups
    ) -> ItemGroups:
        """Extend the moments of matching texts to all neighbouring cues that match."""
        text = self._select(query).text
        return {} if text is None else text.complete(statistics, groups)

    def first_spaces(
        self, items: Sequence[tuple[int, Medium]], spaces: Sequence[str]
    ) -> list[str | None]:
        """Return the first of some spaces in which each item has rows of a medium."""
        opened = {name: self._spaces[name].parts for name in spaces if name in self._spaces}
        return [
            next((name for name, parts in opened.items() if part_of(parts, *item)), None)
            for item in items
        ]

    def timed_rows(self, wanted: Sequence[WantedRows]) -> list[TimedRows]:
        """Read frames, or else segments."""
        return [
            read_timed_rows(self._snapshot, self._spaces[each.space].parts, each) for each in wanted
        ]

    def rows(self, item_ids: Sequence[int]) -> list[ItemRow]:
        """Read the columns of items."""
        return self.items.rows(item_ids)

    def item_vectors(self, space: str, item_id: int) -> NDArray[np.float32]:
        """Read the stored vectors of an item, (m, dim); m = 0 without segments in the space."""
        if space not in self._spaces:
            return np.empty((0, 0), np.float32)
        return self._snapshot.item_segments(space, item_id).vectors

    def finish(
        self, hits: Sequence[Hit], vectors: Mapping[str, QueryVectors] | None
    ) -> Sequence[Hit]:
        """Mark missing files, and attach the stored vectors of hits unless `vectors` is None."""
        if vectors is not None:
            hits = list(with_vectors(hits, self._snapshot, vectors))
        missing = {uri: is_missing(uri) for uri in {hit.uri for hit in hits}}
        return [with_values(hit, missing=True) if missing[hit.uri] else hit for hit in hits]

    def row_counts(self, space: str) -> dict[Medium, int]:
        """Count the indexed rows of each medium in a space."""
        counts = np.zeros(len(MEDIUM_CODES), np.int64)
        for part in self._indexed_parts(space):
            counts += np.bincount(part.rows.media, minlength=len(MEDIUM_CODES))
        return dict(zip(MEDIUM_CODES, counts.tolist(), strict=True))

    def media_samples(
        self, space: str, medium: Medium, positions: NDArray[np.int64]
    ) -> MediaSamples:
        """Read indexed rows by their positions among those of a medium."""
        code = MEDIUM_CODES.index(medium)
        return samples_of(self._indexed_parts(space), code, positions)

    def best_of_others(
        self, space: str, medium: Medium, samples: MediaSamples
    ) -> NDArray[np.float32]:
        """Return the best score of each sample among indexed rows of other items, (n,)."""
        return best_of_parts(self._indexed_parts(space), MEDIUM_CODES.index(medium), samples)

    def _indexed_parts(self, space: str) -> list[Part]:
        opened = self._spaces.get(space)
        return [] if opened is None else [part for part in opened.parts if part.is_indexed]

    def probe_statistics(self) -> list[TextStatistics] | None:
        """Count the texts for each probe of the calibration; None without texts."""
        matcher = self._texts.open(TextMode.AUTO)
        return None if matcher is None else probe_statistics(matcher)

    def probe_coverages(self, statistics: Sequence[TextStatistics]) -> list[float]:
        """Return the best coverage of each probe of the calibration."""
        matcher = self._texts.open(TextMode.AUTO)
        return [0.0] * len(statistics) if matcher is None else probe_coverages(matcher, statistics)
