import pytest

from retrieval.evaluation.blind import WHOLE_VIDEO, best_constant_window, scale_window


def test_constant_window_finds_moments_at_a_fixed_position() -> None:
    true = [(10.0 * i, 20.0 * i) for i in range(1, 6)]
    durations = [40.0 * i for i in range(1, 6)]
    window, score = best_constant_window([[span] for span in true], durations, 0.99)
    assert window == pytest.approx((0.25, 0.5))
    assert score == 1.0


def test_constant_window_misses_half_of_moments_at_two_positions() -> None:
    true = [(0.0, 10.0), (90.0, 100.0)] * 4
    _, score = best_constant_window([[span] for span in true], [100.0] * 8, 0.5)
    assert score == 0.5


def test_true_window_of_largest_overlap_counts() -> None:
    windows = [[(0.0, 5.0), (50.0, 100.0)], [(50.0, 90.0)], [(0.0, 100.0)]]
    window, score = best_constant_window(windows, [100.0] * 3, 0.5, steps=10)
    # It finds the second window of the first query, 40 of 80 seconds, exactly at the threshold.
    assert (window, score) == ((0.2, 0.9), 1.0)
    assert best_constant_window(windows, [100.0] * 3, 0.51, steps=2)[0] == (0.5, 1.0)


def test_window_is_scaled_to_each_video() -> None:
    assert scale_window((0.25, 0.5), [40.0, 8.0]) == [(10.0, 20.0), (2.0, 4.0)]
    assert scale_window(WHOLE_VIDEO, [3.0]) == [(0.0, 3.0)]
