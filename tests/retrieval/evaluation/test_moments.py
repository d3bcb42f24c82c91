import pytest

from retrieval.evaluation.moments import recall_at_1


def test_recall_by_hand() -> None:
    predicted = [(0.0, 10.0), (0.0, 4.0), None]
    true = [(0.0, 10.0), (0.0, 10.0), (5.0, 9.0)]
    assert recall_at_1(predicted, true, 0.5) == pytest.approx(1 / 3)
    assert recall_at_1(predicted, true, 0.4) == pytest.approx(2 / 3)
