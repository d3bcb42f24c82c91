import numpy as np
import pytest

from retrieval.evaluation.ranking import first_relevant_ranks, median_rank, success_at_k


def test_ranks_by_hand() -> None:
    scores = np.array([[0.9, 0.5, 0.1], [0.2, 0.3, 0.4], [0.1, 0.8, 0.7]])
    relevant = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1]], dtype=bool)
    np.testing.assert_array_equal(first_relevant_ranks(scores, relevant), [1, 3, 2])


def test_ties_count_against_the_system_and_once() -> None:
    scores = np.array([[0.5, 0.5, 0.5, 0.1]])
    assert first_relevant_ranks(scores, np.array([[False, True, False, False]])).tolist() == [3]


def test_the_best_of_several_relevant_items_counts() -> None:
    scores = np.array([[0.9, 0.8, 0.1]])
    assert first_relevant_ranks(scores, np.array([[False, True, True]])).tolist() == [2]


def test_a_query_without_a_relevant_item_fails() -> None:
    with pytest.raises(ValueError, match="at least one relevant"):
        first_relevant_ranks(np.ones((1, 2)), np.zeros((1, 2), dtype=bool))


def test_success_and_median_by_hand() -> None:
    assert success_at_k([1, 5, 6, 20], k=5) == 0.5
    assert success_at_k([1, 5, 6, 20], k=1) == 0.25
    assert median_rank([1, 5, 6, 20]) == 5.5
