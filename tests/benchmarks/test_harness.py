import time

import faiss
import pytest
import torch

from benchmarks.speed.harness import Sample, in_turns, one_thread, row, seconds, timed


def test_ways_are_taken_in_turn_and_warm_ups_are_dropped() -> None:
    order: list[tuple[str, int]] = []

    def way(name: str, factor: float):
        def measure(turn: int) -> float:
            order.append((name, turn))
            return factor * turn

        return measure

    taken = in_turns({"a": way("a", 1), "b": way("b", 10)}, 3, warm_ups=1)
    assert order == [(name, turn) for turn in (-1, 0, 1, 2) for name in ("a", "b")]
    assert taken == {"a": Sample((0, 1, 2)), "b": Sample((0, 10, 20))}


def test_median_and_spread_are_those_of_the_values() -> None:
    sample = Sample((5.0, 1.0, 2.0, 3.0, 100.0))
    assert sample.median == 3.0
    assert sample.spread == 3.0  # from 2 to 5: what is outside the middle half does not count
    assert Sample((7.0,)).median == 7.0
    assert Sample((7.0,)).spread is None


def test_samples_are_combined_with_their_neighbours() -> None:
    one, other = Sample((2.0, 9.0)), Sample((1.0, 3.0))
    assert one / other == Sample((2.0, 3.0))
    assert one - other == Sample((1.0, 6.0))
    assert one + other == Sample((3.0, 12.0))
    assert one.times(1e3) == Sample((2e3, 9e3))
    assert one.per(18) == Sample((9.0, 2.0))
    with pytest.raises(ValueError, match="shorter"):
        one / Sample((1.0,))


def test_a_row_has_the_median_and_the_spread() -> None:
    result = row("task", "ms", Sample((1.0, 2.0, 3.0)), 5.0, baseline=0.5, pool=7)
    assert (result.suite, result.value, result.spread) == ("speed", 2.0, 1.0)
    assert (result.goal, result.baseline, result.pool) == (5.0, 0.5, 7)


def test_seconds_are_those_of_the_work() -> None:
    assert 0.02 <= seconds(lambda: time.sleep(0.02)) < 5
    assert 0.02 <= timed(lambda: time.sleep(0.02))(0) < 5


def test_threads_are_pinned_and_given_back() -> None:
    before = torch.get_num_threads(), faiss.omp_get_max_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
        assert faiss.omp_get_max_threads() == 1
    assert (torch.get_num_threads(), faiss.omp_get_max_threads()) == before
