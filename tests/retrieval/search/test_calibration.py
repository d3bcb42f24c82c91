import numpy as np
import pytest

from retrieval.search.calibration import MIN_DEVIATION, Calibration, QueryType, ScoreStatistics
from retrieval.types import Medium

TEXT, MEDIA = QueryType.TEXT, QueryType.MEDIA


def test_statistics_of_four_scores_by_hand() -> None:
    """Mean 0.3; squared distances 0.01, 0.01, 0, 0: deviation √0.005; text needs two of them."""
    statistics = ScoreStatistics.of(np.array([0.2, 0.4, 0.3, 0.3]), TEXT, Medium.IMAGE)
    assert statistics is not None
    assert statistics.mean == pytest.approx(0.3)
    assert statistics.deviation == pytest.approx(0.005**0.5)
    assert statistics.threshold == pytest.approx(0.3 + 2 * 0.005**0.5)


def test_media_hits_as_near_as_neighbours_are_likely() -> None:
    statistics = ScoreStatistics.of(np.array([0.8, 1.0]), MEDIA, Medium.IMAGE)
    assert statistics is not None
    assert statistics.threshold == pytest.approx(0.9)


def test_queries_without_results_do_not_count() -> None:
    statistics = ScoreStatistics.of(
        np.array([-np.inf, 0.5, 0.5, np.nan], np.float32), TEXT, Medium.IMAGE
    )
    assert statistics is not None
    assert statistics.mean == 0.5


@pytest.mark.parametrize("scores", [[], [0.4], [-np.inf, 0.4]])
def test_fewer_than_two_scores_have_no_statistics(scores: list[float]) -> None:
    assert ScoreStatistics.of(np.array(scores), TEXT, Medium.IMAGE) is None


def test_equal_scores_still_give_a_finite_scale() -> None:
    statistics = ScoreStatistics.of(np.full(5, 0.25), TEXT, Medium.IMAGE)
    assert statistics is not None
    assert statistics.deviation == MIN_DEVIATION


def test_calibrated_counts_deviations_above_the_mean() -> None:
    calibration = Calibration([ScoreStatistics(TEXT, Medium.IMAGE, 0.2, 0.05, 0.3)])
    assert calibration.calibrated(0.3, TEXT, Medium.IMAGE) == pytest.approx(2.0)
    assert calibration.likely(0.3, TEXT, Medium.IMAGE)
    assert not calibration.likely(0.29, TEXT, Medium.IMAGE)


def test_without_a_measurement_scores_stay_and_every_hit_is_likely() -> None:
    calibration = Calibration([ScoreStatistics(TEXT, Medium.IMAGE, 0.2, 0.05, 0.3)])
    assert calibration.calibrated(-0.4, MEDIA, Medium.IMAGE) == pytest.approx(-0.4)
    assert calibration.likely(-0.4, MEDIA, Medium.IMAGE)
    assert calibration.likely(-1.0, TEXT, Medium.AUDIO)


def test_spaces_of_different_scales_become_comparable() -> None:
    """0.9 is ordinary where unrelated texts reach 0.88; 0.3 stands out where they reach 0.1."""
    narrow = Calibration([ScoreStatistics(TEXT, Medium.IMAGE, 0.88, 0.02, 0.92)])
    wide = Calibration([ScoreStatistics(TEXT, Medium.IMAGE, 0.1, 0.05, 0.2)])
    assert wide.calibrated(0.3, TEXT, Medium.IMAGE) > narrow.calibrated(0.9, TEXT, Medium.IMAGE)
