import tracemalloc

import numpy as np
import pytest

from retrieval.evaluation.ranking import (
    RankingMetrics,
    average_precision_at_k,
    first_relevant_ranks,
    median_rank,
    ndcg_at_k,
    recall_at_k,
    reciprocal_ranks,
    relevant_ranks,
    success_at_k,
)

INF = np.inf
RANKS = np.array([[1, 4, INF], [2, INF, INF], [3, 5, 12]])
COUNTS = np.array([2, 1, 3])


def test_ranks_by_hand() -> None:
    scores = np.array([[0.9, 0.5, 0.1], [0.2, 0.3, 0.4], [0.1, 0.8, 0.7]])
    relevant = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1]], dtype=bool)
    np.testing.assert_array_equal(first_relevant_ranks(scores, relevant), [1, 3, 2])


def test_ties_count_against_the_system_and_once() -> None:
    scores = np.array([[0.5, 0.5, 0.5, 0.1]])
    assert first_relevant_ranks(scores, np.array([[False, True, False, False]])).tolist() == [3]
    assert relevant_ranks(scores[0], [1]).tolist() == [3]
    # Two relevant items among three equal ones: behind the irrelevant one, and not behind each
    # other twice.
    assert relevant_ranks(scores[0], [0, 1]).tolist() == [2, 3]


def test_the_best_of_several_relevant_items_counts() -> None:
    scores = np.array([[0.9, 0.8, 0.1]])
    assert first_relevant_ranks(scores, np.array([[False, True, True]])).tolist() == [2]


def test_a_query_without_a_relevant_item_fails() -> None:
    with pytest.raises(ValueError, match="at least one relevant"):
        first_relevant_ranks(np.ones((1, 2)), np.zeros((1, 2), dtype=bool))
    with pytest.raises(ValueError, match="at least one relevant"):
        relevant_ranks(np.ones(2), [])


def test_ranks_of_all_relevant_items_by_hand() -> None:
    scores = np.array([0.1, 0.9, 0.5, 0.7, 0.6, 0.2])
    assert relevant_ranks(scores, [5, 1, 4]).tolist() == [1, 3, 5]
    assert relevant_ranks(scores, [0]).tolist() == [6]


@pytest.mark.parametrize(
    ("scores", "relevant", "message"),
    [
        ([0.1, 0.2], [0, 0], "named twice"),
        ([0.1, 0.2], [2], "there are 2 items"),
        ([0.1, 0.2], [-1], "there are 2 items"),
        ([0.1, np.nan], [0], "NaN"),
    ],
)
def test_relevant_items_that_cannot_be_ranked_fail(
    scores: list[float], relevant: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        relevant_ranks(np.array(scores), relevant)


def test_success_and_median_by_hand() -> None:
    assert success_at_k([1, 5, 6, 20], k=5) == 0.5
    assert success_at_k([1, 5, 6, 20], k=1) == 0.25
    assert median_rank([1, 5, 6, 20]) == 5.5


def test_metrics_with_several_relevant_items_by_hand() -> None:
    np.testing.assert_allclose(recall_at_k(RANKS, COUNTS, 4), [1, 1, 1 / 3])
    np.testing.assert_allclose(recall_at_k(RANKS, COUNTS, 1), [1 / 2, 0, 0])
    np.testing.assert_allclose(reciprocal_ranks(RANKS), [1, 1 / 2, 1 / 3])
    np.testing.assert_allclose(
        average_precision_at_k(RANKS, COUNTS, 10),
        [(1 + 2 / 4) / 2, 1 / 2, (1 / 3 + 2 / 5) / 3],
    )
    two, three = 1 / np.log2(3), 1 / np.log2(4)
    np.testing.assert_allclose(
        ndcg_at_k(RANKS, COUNTS, 10),
        [
            (1 + 1 / np.log2(5)) / (1 + two),
            two,
            (three + 1 / np.log2(6)) / (1 + two + three),
        ],
    )
    # At depth 1 the best possible ranking has a single item.
    np.testing.assert_allclose(ndcg_at_k(RANKS, COUNTS, 1), [1, 0, 0])


def test_an_item_that_was_not_retrieved_counts_as_relevant() -> None:
    ranks, counts = np.array([[1, INF]]), np.array([2])
    assert recall_at_k(ranks, counts, 1000).tolist() == [0.5]
    assert average_precision_at_k(ranks, counts, 1000).tolist() == [0.5]


def test_blocks_give_what_one_block_gives() -> None:
    random = np.random.default_rng(0)
    scores = random.integers(0, 20, (12, 30)).astype(np.float32)
    relevant = [random.choice(30, size=1 + i % 4, replace=False).tolist() for i in range(12)]
    whole, blocks = RankingMetrics(), RankingMetrics()
    whole.add(scores, relevant)
    for start in range(0, 12, 5):
        blocks.add(scores[start : start + 5], relevant[start : start + 5])
    assert whole.summary() == blocks.summary()
    for name, values in whole.per_query.items():
        np.testing.assert_array_equal(values, blocks.per_query[name])
        assert whole.summary()[name] == pytest.approx(float(np.mean(values)))
    mask = np.zeros((12, 30), dtype=bool)
    for row, positions in zip(mask, relevant, strict=True):
        row[positions] = True
    np.testing.assert_array_equal(whole.first_ranks, first_relevant_ranks(scores, mask))


def test_names_are_the_printed_ones() -> None:
    metrics = RankingMetrics(ks=(1, 50), depth=5)
    metrics.add(np.eye(3), [[0], [1], [0]])
    assert metrics.summary() == pytest.approx(
        {
            "R@1": 2 / 3, "R@50": 1.0, "recall@1": 2 / 3, "recall@50": 1.0, "mean rank": 5 / 3,
            "MRR": 7 / 9, "mAP@5": 7 / 9, "nDCG@5": (2 + 1 / np.log2(4)) / 3, "median rank": 1.0,
        }
    )  # fmt: skip


def test_no_queries_and_depth_zero_fail() -> None:
    with pytest.raises(ValueError, match="no query"):
        RankingMetrics().summary()
    with pytest.raises(ValueError, match="start at 1"):
        RankingMetrics(ks=(0, 1))


def test_memory_is_the_block_and_a_byte_an_item() -> None:
    items, queries = 100_000, 16
    scores = np.random.default_rng(0).random((queries, items), dtype=np.float32)
    relevant = [[i, i + 1] for i in range(queries)]
    tracemalloc.start()
    try:
        metrics = RankingMetrics()
        for _ in range(4):
            metrics.add(scores, relevant)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A million items would take ten times this, beside a block of any size: far below 2 GiB.
    assert peak < 2 * items
    assert len(metrics.first_ranks) == 4 * queries


def test_equal_to_ir_measures() -> None:
    measures = pytest.importorskip("ir_measures", reason="the oracle is not installed")
    random = np.random.default_rng(3)
    scores = np.array([random.permutation(40) for _ in range(20)], dtype=np.float64)
    relevant = [random.choice(40, size=1 + i % 6, replace=False).tolist() for i in range(20)]
    ours = RankingMetrics(ks=(1, 5, 10))
    ours.add(scores, relevant)
    run = {f"q{i}": {f"d{j}": s for j, s in enumerate(row)} for i, row in enumerate(scores)}
    qrels = {f"q{i}": {f"d{j}": 1 for j in positions} for i, positions in enumerate(relevant)}
    names = {
        "R@1": "Success@1", "R@5": "Success@5", "recall@5": "R@5", "recall@10": "R@10",
        "MRR": "RR", "mAP@10": "AP@10", "nDCG@10": "nDCG@10",
    }  # fmt: skip
    asked = {name: measures.parse_measure(theirs) for name, theirs in names.items()}
    found = {
        (str(one.measure), one.query_id): one.value
        for one in measures.iter_calc(list(asked.values()), qrels, run)
    }
    for name, measure in asked.items():
        theirs = [found[str(measure), f"q{i}"] for i in range(20)]
        np.testing.assert_allclose(ours.per_query[name], theirs, atol=1e-12, err_msg=name)
