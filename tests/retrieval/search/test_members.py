"""Members behind a boundary of pickles, members that do not answer, and global ids."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from retrieval.errors import MemberUnavailableError, QueryError
from retrieval.search.coordinator import Coordinator
from retrieval.search.local_member import LocalMember
from retrieval.search.matches import ItemMatch, best_of_members
from retrieval.search.members import Members
from retrieval.search.options import SearchOptions
from retrieval.search.query import Query
from retrieval.search.searcher import Searcher
from retrieval.search.threads import call_each
from retrieval.search.vector_query import VectorQuery
from retrieval.targets import Target, TextMode
from support.indexed_toys import SOUND, unit
from support.several_toys import RANGES, Toys, toys_of

MAX_BYTES = 300_000
"""Of the arguments and the result of one call for ten hits of ninety items."""


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> list[Toys]:
    folder = tmp_path_factory.mktemp("members")
    return [
        toys_of(folder / f"part{number}", range(*bounds)) for number, bounds in enumerate(RANGES)
    ]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Toys:
    return toys_of(tmp_path_factory.mktemp("one") / "all", range(RANGES[-1][1]))


class Remote:
    """A member whose calls cross a boundary of bytes, and that may stop to answer.

    Args:
        open_member: Opens the member; called again before every call if `forgets`.
        forgets: Whether the member remembers nothing between two calls.
        fails_at: Name of the call from which on it does not answer.
    """

    def __init__(
        self,
        open_member: Callable[[], LocalMember],
        *,
        forgets: bool = False,
        fails_at: str | None = None,
    ) -> None:
        self._open = open_member
        self._member = open_member()
        self._forgets = forgets
        self._fails_at = fails_at
        self.calls: list[str] = []
        self.largest = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: object) -> object:
            self.calls.append(name)
            if self._fails_at in self.calls:
                raise MemberUnavailableError(f"no answer to {name}")
            if self._forgets:
                self._member = self._open()
            sent = pickle.dumps(arguments)
            answer = pickle.dumps(getattr(self._member, name)(*pickle.loads(sent)))
            if name not in ("contents", "media_samples", "best_of_others"):
                self.largest = max(self.largest, len(sent), len(answer))
            return pickle.loads(answer)

        return call


def coordinator(toys: list[Toys], *, partial: bool = False, **remote: Any) -> Coordinator:
    """A coordinator of remote members; `remote` holds for the third."""
    members: dict[str, Any] = {}
    for number, each in enumerate(toys):
        arguments = remote if number == 2 else {"forgets": remote.get("forgets", False)}
        members[f"part{number}"] = Remote(
            lambda each=each: LocalMember(each.snapshot),
            **arguments,  # type: ignore[misc]
        )
    return Coordinator(Members(members), toys[0].encoder, partial=partial)


QUERIES: list[tuple[Any, SearchOptions]] = [
    ("wort1 wort2", SearchOptions()),
    ("red high", SearchOptions(text=TextMode.OFF, k=20, offset=5)),
    ('wort3 "wort5"', SearchOptions(to=[Target.MOMENT])),
    ("wort7", SearchOptions(to=[Target.VIDEO, Target.MOMENT], where="number > 9", k=30)),
    ("wort9", SearchOptions(text=TextMode.ONLY, with_vectors=True)),
    (VectorQuery.of(unit(3, 1), SOUND.name), SearchOptions(k=50)),
    ("wort1 -wort3", SearchOptions(with_vectors=True)),
]


@pytest.mark.parametrize("forgets", [False, True])
@pytest.mark.parametrize(("query", "options"), QUERIES, ids=lambda value: str(value)[:20])
def test_calls_cross_a_boundary_of_bytes(
    toys: list[Toys], one: Toys, query: Any, options: SearchOptions, forgets: bool
) -> None:
    """A member can live elsewhere, and can be replaced between two calls."""
    searched = coordinator(toys, forgets=forgets)
    want = Searcher(one.snapshot, one.encoder).search(query, options)
    result = searched.search(query, options)
    assert [hit.uri for hit in result.hits] == [hit.uri for hit in want.hits]
    assert [(hit.start_seconds, hit.likely) for hit in result.hits] == [
        (hit.start_seconds, hit.likely) for hit in want.hits
    ]
    assert result.hits
    members = searched.members._members
    assert max(member.largest for member in members) < MAX_BYTES  # type: ignore[attr-defined]


@pytest.mark.parametrize("call", ["prepare", "find_texts", "find", "match_texts", "rows", "finish"])
def test_a_member_that_does_not_answer_is_an_error_or_left_out(toys: list[Toys], call: str) -> None:
    options = SearchOptions(k=40)
    with pytest.raises(MemberUnavailableError, match=f"no answer to {call}") as caught:
        coordinator(toys, fails_at=call).search("wort1 wort2", options)
    assert caught.value.names == ("part2",)
    result = coordinator(toys, fails_at=call, partial=True).search("wort1 wort2", options)
    assert result.absent == ("part2",)
    assert {hit.collection for hit in result.hits} == {"part0", "part1", "part3"}
    others = [each for number, each in enumerate(toys) if number != 2]
    want = coordinator(others).search("wort1 wort2", options)
    assert [hit.uri for hit in result.hits] == [hit.uri for hit in want.hits]


def test_an_item_of_an_absent_member_is_no_query(toys: list[Toys]) -> None:
    searched = coordinator(toys, fails_at="prepare", partial=True)
    with pytest.raises(MemberUnavailableError, match="part2 does not answer, and the query"):
        searched.search(Query.like(3, "part2"))
    assert searched.search(Query.like(3, "part0")).absent == ("part2",)


def test_no_answer_at_all_is_an_error(toys: list[Toys]) -> None:
    alone = Remote(lambda: LocalMember(toys[0].snapshot), fails_at="prepare")
    searched = Coordinator(Members({"a": alone}), toys[0].encoder, partial=True)  # type: ignore[dict-item]
    with pytest.raises(MemberUnavailableError, match="no answer to prepare"):
        searched.search("red")


def test_global_ids_number_the_items_of_all_members_through(toys: list[Toys]) -> None:
    members = Members({each.root.name: LocalMember(each.snapshot) for each in toys})
    firsts = [first for first, _ in RANGES]
    assert [members.first_id(number) for number in range(4)] == firsts
    assert [members.member_of(number) for number in (0, 22, 23, 24, 60, 61, 89)] == [
        0, 0, 1, 2, 2, 3, 3,
    ]  # fmt: skip
    assert members.by_member([61, 0, 25, 22]) == {3: [0], 0: [0, 22], 2: [1]}
    assert members.known_ids("part2", 5) == [29]
    assert members.known_ids("part1", 1) == members.known_ids("part1", -1) == []
    with pytest.raises(QueryError, match="no collection 'part9'"):
        members.known_ids("part9", 0)


def test_the_best_of_several_vectors_are_those_of_any_vector() -> None:
    """Item 3 has the second-best mean but is never among the best two of one vector."""
    scores = {0: (0.9, 0.1), 1: (0.8, 0.0), 2: (0.1, 0.9), 3: (0.6, 0.6), 4: (0.2, 0.8)}
    matches = [
        ItemMatch(item_id, float(np.mean(row)), 0, 0.0, 1.0, np.array(row, np.float32))
        for item_id, row in scores.items()
    ]
    assert [match.item_id for match in best_of_members(matches, 2)] == [0, 2]
    assert [match.item_id for match in best_of_members(matches, 3)] == [3, 0, 2]


def test_all_calls_end_before_the_first_error_is_raised() -> None:
    ended: list[int] = []

    def call(number: int) -> int:
        ended.append(number)
        if number in (1, 2):
            raise ValueError(str(number))
        return number

    with pytest.raises(ValueError, match="1"):
        call_each([lambda number=number: call(number) for number in range(4)])  # type: ignore[misc]
    assert sorted(ended) == [0, 1, 2, 3]
    assert call_each([]) == []
    assert call_each([lambda: 5, lambda: 6]) == [5, 6]
