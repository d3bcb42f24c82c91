"""One query sent to all members: converts item ids and merges the answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import MemberUnavailableError
from retrieval.search.arguments import item_ids_of
from retrieval.search.calibration import Calibration
from retrieval.search.matches import ItemMatch, best_of_members
from retrieval.search.member import (
    ItemRow,
    Member,
    MemberQuery,
    PreparedQuery,
    SpaceMatches,
    WantedRows,
)
from retrieval.search.members import Members
from retrieval.search.options import SearchOptions
from retrieval.search.pooled_calibration import PooledCalibration
from retrieval.search.query_vectors import QueryVectors
from retrieval.search.text_answers import MarkedTerms, TextAnswers
from retrieval.texts.matching import ItemGroups
from retrieval.texts.statistics import TextStatistics
from retrieval.texts.tokenizer import Tokenizer
from retrieval.texts.word_query import WordQuery
from retrieval.types import Hit, Medium, TimedRows

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class SentQuery:
    """What all members are asked.

    Attributes:
        options: Options of the search, with global ids.
        spaces: Names of the spaces to search.
        words: Words to match with texts; None: no texts are searched.
        excluded: Items that the query consists of.
    """

    options: SearchOptions
    spaces: Sequence[str]
    words: WordQuery | None = None
    excluded: Sequence[int] = ()


class Scatter:
    """One query over several members; ids of arguments and results are global.

    Attributes:
        spaces: Names of the spaces in which any member has a matching row.
        text_ms: Milliseconds that the slowest member took for words.
        filter_ms: Milliseconds that the slowest member took for conditions, targets and ids.

    Args:
        members: The members.
        calibration: Their calibrations.
        sent: The query.
        absent: Names of members to leave out.
    """

    def __init__(
        self,
        members: Members,
        calibration: PooledCalibration,
        sent: SentQuery,
        absent: AbstractSet[str] = frozenset(),
    ) -> None:
        self._members = members
        self._calibration = calibration
        self._words = sent.words
        options = sent.options
        query = MemberQuery(
            key=os.urandom(16).hex(),
            options=options if options.reranker is None else replace(options, reranker=None),
            spaces=frozenset(sent.spaces),
            words=sent.words if members.has_texts else None,
            columns=members.columns,
            is_alone=len(members) == 1,
        )
        excluded_ids = members.by_member(sent.excluded)
        for number in excluded_ids:
            if members.names[number] in absent:
                raise MemberUnavailableError(
                    f"{members.names[number]} does not answer, and the query is one of its items"
                )
        self._queries = {
            number: self._query_of(number, query, excluded_ids.get(number, ()))
            for number, name in enumerate(members.names)
            if name not in absent
        }
        self._prepared: dict[int, PreparedQuery] = self._ask_all(lambda m, query: m.prepare(query))
        prepared = self._prepared.values()
        self.spaces = {name for each in prepared for name in each.spaces}
        self.text_ms = max((each.text_ms for each in prepared), default=0.0)
        self.filter_ms = max((each.filter_ms for each in prepared), default=0.0)
        texts = {n: each.texts for n, each in self._prepared.items() if each.texts is not None}
        self._statistics: TextStatistics | None = None
        if texts:
            pooled = calibration.of_texts({n: texts[n].calibration for n in texts})
            self._statistics = TextStatistics.pool(texts.values(), pooled)

    @property
    def has_texts(self) -> bool:
        """Whether texts are searched."""
        return self._statistics is not None

    def _query_of(self, number: int, query: MemberQuery, excluded: Sequence[int]) -> MemberQuery:
        """Return the query of a member: with the ids among `options.ids` that belong to it."""
        if excluded:
            query = replace(query, excluded=tuple(excluded))
        if len(self._members) == 1 or query.options.ids is None:
            return query
        ids = item_ids_of(query.options.ids) - self._members.first_id(number)
        ids = ids[(ids >= 0) & (ids < self._members.contents[number].id_count)]
        return replace(query, options=replace(query.options, ids=ids))

    def _ask_all(self, call: Callable[[Member, MemberQuery], Result]) -> dict[int, Result]:
        """Call all members."""

        def ask(query: MemberQuery, member: Member) -> Result:
            return call(member, query)

        return self._members.ask(
            {number: partial(ask, query) for number, query in self._queries.items()}
        )

    def _ask_owners(
        self,
        item_ids: Sequence[int],
        call: Callable[[Member, MemberQuery, list[int], list[int]], Result],
    ) -> dict[int, Result]:
        """Call the members that own some items, with the ids of their items and their positions."""
        if len(self._members) == 1:  # Its ids are global.
            positions = list(range(len(item_ids)))
            return self._members.ask(
                {0: lambda member: call(member, self._queries[0], list(item_ids), positions)}
            )
        owned: dict[int, tuple[list[int], list[int]]] = {}
        for position, item_id in enumerate(item_ids):
            number = self._members.member_of(item_id)
            ids, positions = owned.setdefault(number, ([], []))
            ids.append(item_id - self._members.first_id(number))
            positions.append(position)

        def ask(number: int, member: Member) -> Result:
            return call(member, self._queries[number], *owned[number])

        return self._members.ask({number: partial(ask, number) for number in owned})

    def _in_order(
        self,
        item_ids: Sequence[int],
        call: Callable[[Member, list[int], list[int]], Sequence[Result]],
    ) -> list[Result]:
        """Call the owners of some items for one result of each item; return them in order."""
        answers = self._ask_owners(
            item_ids, lambda m, _, ids, positions: (positions, call(m, ids, positions))
        )
        if len(self._members) == 1:
            return list(answers[0][1])
        results = {
            position: result
            for positions, own in answers.values()
            for position, result in zip(positions, own, strict=True)
        }
        return [results[position] for position in range(len(item_ids))]

    def calibrations(self, vectors: Mapping[str, QueryVectors]) -> Mapping[str, Calibration]:
        """Return the calibrations of the spaces of the query."""
        return self._calibration.of_query(vectors, list(self._queries))

    # ------------------------------------------------------------ texts

    def find_texts(self, limit: int) -> TextAnswers:
        """Find the items whose texts match best."""
        statistics, words = self._statistics, self._words
        if statistics is None or words is None:
            return TextAnswers({}, {}, self._members.member_of)
        found = self._ask_all(lambda m, query: m.find_texts(query, statistics, limit))
        groups = self._merged(found)
        if len(found) > 1:
            best = sorted(groups, key=lambda item_id: (-groups[item_id][0].score, item_id))
            groups = {item_id: groups[item_id] for item_id in best[:limit]}
        marks = {
            number: MarkedTerms.of(words, each.texts.frequencies, Tokenizer(each.language))
            for number, each in self._prepared.items()
            if each.texts is not None
        }
        return TextAnswers(groups, marks, self._members.member_of)

    def match_texts(self, item_ids: Sequence[int]) -> ItemGroups:
        """Match the texts of some items, which vectors found, the best first."""
        statistics = self._statistics
        assert statistics is not None
        return self._merged(
            self._ask_owners(
                item_ids, lambda m, query, ids, _: m.match_texts(query, statistics, ids)
            )
        )

    def complete_texts(self, groups: ItemGroups) -> ItemGroups:
        """Extend the moments of matching texts to all neighbouring cues that match."""
        statistics, item_ids = self._statistics, list(groups)
        assert statistics is not None

        def complete(
            member: Member, query: MemberQuery, ids: list[int], positions: list[int]
        ) -> ItemGroups:
            own = [groups[item_ids[position]] for position in positions]
            return member.complete_texts(query, statistics, dict(zip(ids, own, strict=True)))

        return self._merged(self._ask_owners(item_ids, complete))

    def _merged(self, found: Mapping[int, ItemGroups]) -> ItemGroups:
        return {
            self._members.first_id(number) + item_id: item_groups
            for number, groups in found.items()
            for item_id, item_groups in groups.items()
        }

    # ------------------------------------------------------------ vectors

    def find(self, vectors: Mapping[str, QueryVectors], limit: int) -> SpaceMatches:
        """Find the best items of each space."""
        found = self._ask_all(lambda m, query: m.find(query, vectors, limit))
        matches = self._matches(found)
        if len(self._members) == 1:
            return matches
        return {name: best_of_members(each, limit) for name, each in matches.items()}

    def score(self, vectors: Mapping[str, QueryVectors], item_ids: Sequence[int]) -> SpaceMatches:
        """Score some items in each space; those without a selected row are left out."""
        return self._matches(
            self._ask_owners(item_ids, lambda m, query, ids, _: m.score(query, vectors, ids))
        )

    def _matches(self, found: Mapping[int, SpaceMatches]) -> dict[str, list[ItemMatch]]:
        merged: dict[str, list[ItemMatch]] = {}
        for number, by_space in found.items():
            first_id = self._members.first_id(number)
            for name, matches in by_space.items():
                merged.setdefault(name, []).extend(
                    replace(match, item_id=first_id + match.item_id) if first_id else match
                    for match in matches
                )
        return merged

    # ------------------------------------------------------------ items

    def rows(self, item_ids: Sequence[int]) -> list[ItemRow]:
        """Read the columns of items."""
        return self._in_order(item_ids, lambda m, ids, _: m.rows(ids))

    def first_spaces(
        self, items: Sequence[tuple[int, Medium]], spaces: Sequence[str]
    ) -> list[str | None]:
        """Return the first of some spaces in which each item has rows of a medium."""

        def first(member: Member, ids: list[int], positions: list[int]) -> list[str | None]:
            media = [items[position][1] for position in positions]
            return member.first_spaces(list(zip(ids, media, strict=True)), spaces)

        return self._in_order([item_id for item_id, _ in items], first)

    def timed_rows(self, wanted: Sequence[WantedRows]) -> list[TimedRows]:
        """Read frames, or else segments."""

        def read(member: Member, ids: list[int], positions: list[int]) -> list[TimedRows]:
            pairs = zip(ids, positions, strict=True)
            return member.timed_rows(
                [wanted[position]._replace(item_id=item_id) for item_id, position in pairs]
            )

        return self._in_order([each.item_id for each in wanted], read)

    def item_vectors(self, space: str, item_id: int) -> NDArray[np.float32]:
        """Read the stored vectors of an item, (m, dim); m = 0 without segments in the space."""
        (vectors,) = self._in_order([item_id], lambda m, ids, _: [m.item_vectors(space, ids[0])])
        return vectors

    def finish(self, hits: Sequence[Hit], vectors: Mapping[str, QueryVectors] | None) -> list[Hit]:
        """Describe the hits of a page: missing files, stored vectors, and the collection.

        Args:
            hits: The hits.
            vectors: The query by space; None: hits get no vectors.

        Returns:
            Hits with the item ids of their members.
        """

        def finish(member: Member, ids: list[int], positions: list[int]) -> Sequence[Hit]:
            own = [hits[position] for position in positions]
            if self._members.is_named:
                name = self._members.names[self._members.member_of(own[0].item_id)]
                own = [
                    replace(hit, item_id=item_id, collection=name)
                    for hit, item_id in zip(own, ids, strict=True)
                ]
            return member.finish(own, vectors)

        return self._in_order([hit.item_id for hit in hits], finish)
