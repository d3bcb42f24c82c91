import math

import numpy as np
import pytest

from retrieval.evaluation import bootstrap
from retrieval.evaluation.bootstrap import interval, paired_interval


def test_interval_of_proportion_equals_binomial() -> None:
    hits = np.repeat([1.0, 0.0], [300, 700])
    low, high = interval(hits)
    # Normal approximation: 1.96 standard errors on each side.
    error = 1.96 * math.sqrt(0.3 * 0.7 / 1000)
    assert low == pytest.approx(0.3 - error, abs=0.003)
    assert high == pytest.approx(0.3 + error, abs=0.003)


def test_equal_values_give_empty_interval() -> None:
    assert interval([0.5] * 10) == (0.5, 0.5)
    assert interval([3.0]) == (3.0, 3.0)


def test_same_seed_gives_same_interval() -> None:
    values = np.random.default_rng(0).random(50)
    assert interval(values) == interval(values)
    assert interval(values, seed=1) != interval(values)


def test_paired_interval_detects_difference_hidden_by_two_intervals() -> None:
    one = np.random.default_rng(0).random(200)
    low, high = paired_interval(one, one + 0.01)
    assert low == pytest.approx(0.01)
    assert high == pytest.approx(0.01)
    assert interval(one)[1] > interval(one + 0.01)[0]


def test_interval_of_random_difference_contains_zero() -> None:
    random = np.random.default_rng(5)
    low, high = paired_interval(random.random(300), random.random(300))
    assert low < 0 < high


def test_many_queries_are_resampled_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random(30)
    at_once = interval(values)
    monkeypatch.setattr(bootstrap, "BLOCK_NUMBERS", 100)
    # The same random numbers, split differently.
    assert interval(values) == at_once


@pytest.mark.parametrize("values", [[], [[1.0]], [math.nan], [math.inf, 1.0]])
def test_invalid_values_fail(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"one number|not finite"):
        interval(values)


def test_runs_of_different_length_fail() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_interval([1.0, 2.0], [1.0])
