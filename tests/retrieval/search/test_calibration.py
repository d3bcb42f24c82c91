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


# ---------------------------------------------------------------- several collections


def statistics_of(scores: list[float], query: QueryType = TEXT) -> ScoreStatistics:
    statistics = ScoreStatistics.of(np.array(scores), query, Medium.IMAGE)
    assert statistics is not None
    return statistics


def test_pooled_text_scores_are_those_of_one_collection() -> None:
    """The best score of a text in two collections is the better of both."""
    first, second = [0.1, 0.5, 0.3, 0.25], [0.2, 0.4, 0.35, 0.1]
    pooled = ScoreStatistics.pool([statistics_of(first), statistics_of(second)])
    assert pooled == statistics_of([0.2, 0.5, 0.35, 0.25])


def test_pooled_media_scores_are_those_of_all_queries() -> None:
    first, second = [0.1, 0.5, 0.3], [0.2, 0.4, 0.35, 0.1, 0.9]
    pooled = ScoreStatistics.pool([statistics_of(first, MEDIA), statistics_of(second, MEDIA)])
    together = statistics_of(first + second, MEDIA)
    assert (pooled.count, pooled.best) == (8, ())
    assert pooled.mean == pytest.approx(together.mean)
    assert pooled.deviation == pytest.approx(together.deviation)
    assert pooled.threshold == pytest.approx(together.threshold)


def test_statistics_without_single_scores_are_pooled_by_mean_and_deviation() -> None:
    """Means 0.2 and 0.4, deviations 0.1: mean 0.3, variance 0.01 + 0.01."""
    old = [ScoreStatistics(TEXT, Medium.IMAGE, mean, 0.1, mean + 0.2) for mean in (0.2, 0.4)]
    pooled = ScoreStatistics.pool(old)
    assert pooled.mean == pytest.approx(0.3)
    assert pooled.deviation == pytest.approx(0.02**0.5)
    assert pooled.threshold == pytest.approx(0.3 + 2 * 0.02**0.5)


def test_a_pooled_calibration_has_the_media_of_all() -> None:
    pictures = ScoreStatistics(TEXT, Medium.IMAGE, 0.2, 0.05, 0.3)
    sound = ScoreStatistics(TEXT, Medium.AUDIO, 0.1, 0.05, 0.2)
    pooled = Calibration.pool([Calibration([pictures]), Calibration(), Calibration([sound])])
    assert pooled.calibrated(0.25, TEXT, Medium.IMAGE) == pytest.approx(1.0)
    assert pooled.calibrated(0.25, TEXT, Medium.AUDIO) == pytest.approx(3.0)
