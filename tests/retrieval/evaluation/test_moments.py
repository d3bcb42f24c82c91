import pytest

from retrieval.evaluation.moments import best_constant_window, recall_at_1


def test_recall_by_hand() -> None:
    predicted = [(0.0, 10.0), (0.0, 4.0), None]
    true = [(0.0, 10.0), (0.0, 10.0), (5.0, 9.0)]
    assert recall_at_1(predicted, true, 0.5) == pytest.approx(1 / 3)
    assert recall_at_1(predicted, true, 0.4) == pytest.approx(2 / 3)


def test_the_blind_window_finds_what_is_always_in_the_same_place() -> None:
    true = [(10.0 * i, 20.0 * i) for i in range(1, 6)]
    durations = [40.0 * i for i in range(1, 6)]
    window, score = best_constant_window(true, durations, 0.99)
    assert window == pytest.approx((0.25, 0.5))
    assert score == 1.0


def test_the_blind_window_misses_half_of_what_lies_in_two_places() -> None:
    true = [(0.0, 10.0), (90.0, 100.0)] * 4
    _, score = best_constant_window(true, [100.0] * 8, 0.5)
    assert score == 0.5
