from itertools import permutations

import numpy as np
import pytest

from benchmarks.ranking.chance import (
    chance_average_precision,
    chance_mean_rank,
    chance_median_rank,
    chance_of_success,
)
from retrieval.evaluation.ranking import RankingMetrics


def test_of_one_relevant_item() -> None:
    assert chance_of_success([1], 1_000, 10) == pytest.approx(0.01)
    assert chance_of_success([1, 1], 4, 10) == 1.0
    assert chance_median_rank([1], 1_000) == 500
    assert chance_mean_rank([1], 1_000) == 500.5
    assert chance_average_precision([1], 4, 2) == pytest.approx((1 + 1 / 2) / 4)


def test_of_several_queries() -> None:
    # One finds 1 of 4, the other 2 of 4: 1/4 and 1/2 first, 1/2 and 5/6 among two.
    assert chance_of_success([1, 2], 4, 1) == pytest.approx(3 / 8)
    assert chance_of_success([1, 2], 4, 2) == pytest.approx(2 / 3)
    assert chance_median_rank([1, 2], 4) == 2
    assert chance_mean_rank([1, 2], 4) == pytest.approx((5 / 2 + 5 / 3) / 2)


@pytest.mark.parametrize("relevant", [1, 2, 3, 5])
def test_it_is_the_mean_over_all_orders(relevant: int) -> None:
    items, metrics = 6, RankingMetrics((1, 2, 5), depth=3)
    orders = np.array(list(permutations(range(items))), np.float64)
    metrics.add(orders, [range(relevant)] * len(orders))
    found = metrics.summary()
    for k in (1, 2, 5):
        assert chance_of_success([relevant], items, k) == pytest.approx(found[f"R@{k}"])
    assert chance_mean_rank([relevant], items) == pytest.approx(found["mean rank"])
    assert chance_average_precision([relevant], items, 3) == pytest.approx(found["mAP@3"])
    ranks = metrics.first_ranks
    median = chance_median_rank([relevant], items)
    assert (ranks <= median).mean() >= 0.5 > (ranks <= median - 1).mean()
