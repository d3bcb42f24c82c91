import numpy as np
import pytest

from retrieval.evaluation.moments import (
    IOU_THRESHOLDS,
    best_overlaps,
    hull_iou,
    moment_average_precision,
    recall_at_1,
    union_iou,
    windows_of_length,
)


def test_recall_by_hand() -> None:
    predicted = [(0.0, 10.0), (0.0, 4.0), None]
    true = [(0.0, 10.0), (0.0, 10.0), (5.0, 9.0)]
    assert recall_at_1(predicted, true, 0.5) == pytest.approx(1 / 3)
    assert recall_at_1(predicted, true, 0.4) == pytest.approx(2 / 3)


def test_overlap_by_hand() -> None:
    predicted = np.array([[0.0, 10], [5, 15], [20, 30], [10, 20]])
    true = np.array([[0.0, 10], [0, 10], [0, 10], [0, 10]])
    for overlap in (hull_iou, union_iou):
        np.testing.assert_allclose(overlap(predicted, true), [1, 1 / 3, 0, 0])
    assert hull_iou(predicted[:, None], true[None, :2]).shape == (4, 2)


def test_overlaps_differ_for_windows_of_length_zero() -> None:
    point = np.array([[5.0, 5.0]])
    assert hull_iou(point, point).tolist() == [0.0]
    assert np.isnan(union_iou(point, point)).all()
    # The evaluator treats NaN as a match.
    assert moment_average_precision(np.array([[5.0, 5, 1]]), point).tolist() == [1.0] * 10


def test_overlap_preserves_float32() -> None:
    window = np.array([[0.0, 3.0]], np.float32)
    assert hull_iou(window, window).dtype == union_iou(window, window).dtype == np.float32


def test_windows_are_compared_with_true_window_of_largest_overlap() -> None:
    true = np.array([[0.0, 10], [20, 40]])
    predicted = np.array([[5.0, 25, 0.9], [20, 39, 0.1], [50, 60, 0.2]])
    np.testing.assert_allclose(best_overlaps(predicted, true), [5 / 25, 19 / 20, 0])
    assert best_overlaps(np.empty((0, 3)), true).shape == (0,)


def test_average_precision_by_hand() -> None:
    true = np.array([[0.0, 10], [20, 30]])
    # By score: correct (IoU 1), its copy (incorrect), correct at 0.5 and 0.6 only (IoU 0.6).
    predicted = np.array([[24.0, 30, 0.1], [0, 10, 0.9], [0, 10, 0.5]])
    want = {0.5: 0.5 + 0.5 * 2 / 3, 0.6: 0.5 + 0.5 * 2 / 3, 0.65: 0.5}
    values = moment_average_precision(predicted, true, list(want))
    np.testing.assert_allclose(values, list(want.values()))


def test_precision_is_interpolated() -> None:
    true = np.array([[0.0, 10], [20, 30]])
    predicted = np.array([[50.0, 60, 0.9], [0, 10, 0.8], [20, 30, 0.7]])
    # Precision 1/2 at the first true window, 2/3 at the second, interpolated to 2/3.
    assert moment_average_precision(predicted, true, [0.5])[0] == pytest.approx(2 / 3)


def test_no_predictions_score_zero_and_no_true_window_fails() -> None:
    true = np.array([[0.0, 10]])
    assert moment_average_precision(np.empty((0, 3)), true).tolist() == [0.0] * 10
    with pytest.raises(ValueError, match="without a true window"):
        moment_average_precision(np.array([[0.0, 1, 1]]), np.empty((0, 2)))


def test_length_ranges_exclude_lower_and_include_upper_bound() -> None:
    true = np.array([[0.0, 10], [0, 10.5], [5, 35], [5, 5]])
    assert windows_of_length(true, 0, 10).tolist() == [[0, 10]]
    assert windows_of_length(true, 10, 30).tolist() == [[0, 10.5], [5, 35]]


def test_thresholds_equal_published_ones() -> None:
    assert [str(iou) for iou in IOU_THRESHOLDS] == [
        "0.5", "0.55", "0.6", "0.65", "0.7", "0.75", "0.8", "0.85", "0.9", "0.95",
    ]  # fmt: skip
