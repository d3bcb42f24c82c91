from dataclasses import replace

import pytest

from retrieval.search.indexing.card import IndexCard
from retrieval.search.indexing.plan import UpdatePlan, plan_update
from retrieval.search.indexing.request import IndexRequest
from support.index_cards import CARD


def parts(*rows: int) -> list[IndexCard]:
    return [replace(CARD, rows=count) for count in rows]


def plan(
    cards: list[IndexCard], new: int, removed: list[int] | None = None, request=None
) -> UpdatePlan:
    return plan_update(cards, request, new_rows=new, removed_rows=removed or [0] * len(cards))


def test_the_first_index_is_trained() -> None:
    assert plan([], 10) == UpdatePlan(0, True, True, "no index yet")


def test_a_current_index_needs_no_work() -> None:
    assert plan(parts(1_000_000, 500), 0) == UpdatePlan(2, False, False, "the index is current")


@pytest.mark.parametrize(
    ("rows", "new", "kept"),
    [
        ((1_000_000,), 10_000, 1),
        ((1_000_000, 10_000), 10_000, 1),
        ((1_000_000, 30_000), 10_000, 2),
        ((1_000_000, 30_000, 10_000), 10_000, 1),
        ((1_000_000, 90_000, 30_000), 5_000, 3),
        ((1_000_000,), 600_000, 0),
    ],
)
def test_new_rows_are_merged_with_smaller_parts_before_them(
    rows: tuple[int, ...], new: int, kept: int
) -> None:
    found = plan(parts(*rows), new)
    assert (found.unchanged_parts, found.write, found.train) == (kept, True, False)


def test_parts_stay_few_and_rows_are_rewritten_seldom() -> None:
    cards, written, most = parts(1_000_000), 0, 0
    for _ in range(400):
        found = plan(cards, 1_000)
        rows = 1_000 + sum(card.rows for card in cards[found.unchanged_parts :])
        cards = [*cards[: found.unchanged_parts], replace(CARD, rows=rows)]
        written += rows
        most = max(most, len(cards))
    assert sum(card.rows for card in cards) == 1_400_000
    assert most <= 9
    assert written < 400_000 * 9


def test_twice_the_rows_plan_a_new_training() -> None:
    assert plan(parts(1_000_000), 999_999).train is False
    assert plan(parts(1_000_000), 1_000_000).train is True


def test_exact_search_is_never_trained() -> None:
    exact = [replace(CARD, request=IndexRequest("exact"), factory=None, rows=500_000)]
    assert plan(exact, 5_000_000).train is False


def test_automatic_choice_starts_at_enough_rows() -> None:
    few = [replace(CARD, factory=None, rows=1_000, trained_for=1_000)]
    assert plan(few, 100_000).train is False
    assert plan(few, 300_000).train is True


def test_a_part_with_many_removed_rows_is_rewritten() -> None:
    cards = parts(1_000_000, 100_000, 20_000)
    assert plan(cards, 0, [10_000, 5_000, 0]).write is False
    found = plan(cards, 0, [10_000, 30_000, 0])
    assert (found.unchanged_parts, found.write, found.train) == (1, True, False)
    assert plan(cards, 0, [300_000, 0, 0]).unchanged_parts == 0


def test_another_request_trains_and_the_same_does_not() -> None:
    assert plan(parts(10), 0, request=IndexRequest("exact")).train is True
    assert plan(parts(10), 0, request=IndexRequest()).write is False
    assert plan(parts(10), 0, request=IndexRequest(recall=0.9)).train is True
