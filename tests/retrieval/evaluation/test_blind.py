import pytest

from retrieval.evaluation.blind import WHOLE, best_constant_window, placed


def test_the_blind_window_finds_what_is_always_in_the_same_place() -> None:
    true = [(10.0 * i, 20.0 * i) for i in range(1, 6)]
    durations = [40.0 * i for i in range(1, 6)]
    window, score = best_constant_window([[span] for span in true], durations, 0.99)
    assert window == pytest.approx((0.25, 0.5))
    assert score == 1.0


def test_the_blind_window_misses_half_of_what_lies_in_two_places() -> None:
    true = [(0.0, 10.0), (90.0, 100.0)] * 4
    _, score = best_constant_window([[span] for span in true], [100.0] * 8, 0.5)
    assert score == 0.5


def test_of_several_true_windows_the_one_that_overlaps_most_counts() -> None:
    windows = [[(0.0, 5.0), (50.0, 100.0)], [(50.0, 90.0)], [(0.0, 100.0)]]
    window, score = best_constant_window(windows, [100.0] * 3, 0.5, steps=10)
    # Of the first query's two it finds the second, 40 of 80 seconds: at the threshold is right.
    assert (window, score) == ((0.2, 0.9), 1.0)
    assert best_constant_window(windows, [100.0] * 3, 0.51, steps=2)[0] == (0.5, 1.0)


def test_a_window_is_placed_in_every_video() -> None:
    assert placed((0.25, 0.5), [40.0, 8.0]) == [(10.0, 20.0), (2.0, 4.0)]
    assert placed(WHOLE, [3.0]) == [(0.0, 3.0)]
