import numpy as np
import pytest

from retrieval.evaluation.highlights import fit_to_clips, highlight_average_precision, hit_at_1


def precision(highlights: list[int], scores: list[float]) -> float:
    return highlight_average_precision(np.array(highlights, dtype=bool), np.array(scores))


def test_average_precision_by_hand() -> None:
    # Ranked: incorrect, correct, correct, incorrect. Precision 1/2 and 2/3, interpolated to 2/3.
    assert precision([0, 1, 1, 0], [9, 8, 7, 6]) == pytest.approx(2 / 3)
    assert precision([1, 0, 0, 1], [9, 8, 7, 6]) == pytest.approx((1 + 2 / 4) / 2)


def test_equal_scores_share_one_depth() -> None:
    # Both highlights have the same score as a third clip: one precision, not two.
    assert precision([1, 0, 1, 0], [5, 5, 5, 1]) == pytest.approx(2 / 3)
    assert precision([1, 0, 1, 1], [5, 5, 5, 1]) == pytest.approx((3 / 4 + 3 / 4) / 2)


def test_all_or_no_highlights_do_not_depend_on_scores() -> None:
    assert precision([0, 0], [1, 2]) == 0.0
    assert precision([1, 1], [1, 2]) == 1.0


def test_first_best_clip_counts_for_any_annotator() -> None:
    highlights = np.array([[0, 0, 0], [0, 1, 0], [1, 1, 1]], dtype=bool)
    assert hit_at_1(highlights, np.array([0.1, 0.9, 0.9]))
    assert not hit_at_1(highlights, np.array([0.9, 0.1, 0.9]))
    assert not hit_at_1(highlights, np.array([0.1, 0.2, 0.3, 0.9]))  # beyond the video's end


def test_scores_are_cut_or_zero_padded() -> None:
    assert fit_to_clips(np.array([-1.0, 2.0, 3.0]), 2).tolist() == [-1.0, 2.0]
    assert fit_to_clips(np.array([-1.0]), 3).tolist() == [-1.0, 0.0, 0.0]


def test_average_precision_equals_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="the oracle is not installed")
    random = np.random.default_rng(2)
    for _ in range(100):
        highlights = random.random(20) < 0.3
        scores = random.integers(-4, 5, 20) / 4
        if not highlights.any():
            continue
        found, recall, _ = metrics.precision_recall_curve(highlights, scores)
        best = np.maximum.accumulate(found)
        want = np.mean(best[np.flatnonzero(np.diff(recall.astype(np.float32)))])
        assert highlight_average_precision(highlights, scores) == want
