from itertools import pairwise

import numpy as np
import pytest

from retrieval.localization.similarity import SimilarityLocalizer
from retrieval.localization.spans import overlap
from retrieval.types import MomentQuery, TimedRows

CLIP = 2.0


def localize(scores, clip_seconds: float = CLIP):
    scores = np.asarray(scores, np.float32)
    starts = np.arange(len(scores)) * clip_seconds
    return SimilarityLocalizer().rank_spans(scores, starts, starts + clip_seconds)


def step_curve(duration: int, start: float, end: float, *, low=0.1, high=0.6, noise=0.0, seed=0):
    """Means over 2-s segments of a curve that is high in [start, end)."""
    times = np.arange(0, duration, 0.01)
    curve = np.where((times >= start) & (times < end), high, low)
    clips = curve.reshape(-1, round(CLIP / 0.01)).mean(axis=1)
    return clips + np.random.default_rng(seed).normal(0, noise, len(clips))


def test_clean_step_is_localized_within_a_tenth_of_a_second() -> None:
    start, end, score = localize(step_curve(60, 13.0, 27.4))[0]
    assert start == pytest.approx(13.0, abs=0.1)
    assert end == pytest.approx(27.4, abs=0.1)
    assert score > 0.5


@pytest.mark.parametrize("span", [(0.0, 8.0), (52.0, 60.0), (20.0, 24.0), (6.0, 50.0)])
def test_steps_at_the_ends_and_of_different_lengths(span) -> None:
    start, end, _ = localize(step_curve(60, *span))[0]
    assert overlap((start, end), span) > 0.95


def test_noise_moves_borders_slightly() -> None:
    overlaps = []
    for seed in range(50):
        rng = np.random.default_rng(seed)
        begin = float(rng.uniform(0, 40))
        span = (begin, begin + float(rng.uniform(5, 20)))
        found = localize(step_curve(60, *span, noise=0.08, seed=seed))[0]
        overlaps.append(overlap(found[:2], (span[0], min(60.0, span[1]))))
    assert np.mean(np.array(overlaps) >= 0.5) >= 0.95
    assert np.mean(np.array(overlaps) >= 0.7) >= 0.85


def test_two_events_give_two_spans_best_first() -> None:
    curve = np.maximum(step_curve(80, 10, 20, high=0.5), step_curve(80, 50, 64, high=0.7))
    spans = localize(curve)
    assert overlap(spans[0][:2], (50, 64)) > 0.9
    assert overlap(spans[1][:2], (10, 20)) > 0.9
    assert len(spans) == 2


def test_spans_do_not_overlap_and_are_within_item() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        scores = rng.normal(0, 1, int(rng.integers(1, 60)))
        spans = localize(scores)
        assert spans
        ordered = sorted(spans)
        assert all(a[1] <= b[0] + 1e-9 for a, b in pairwise(ordered))
        assert all(0 <= s < e <= len(scores) * CLIP for s, e, _ in spans)
        assert [s[2] for s in spans] == sorted((s[2] for s in spans), reverse=True)


def test_flat_curve_gives_one_span_over_the_item() -> None:
    assert localize([0.25] * 8) == [(0.0, 16.0, pytest.approx(0.25))]


def test_one_segment_and_no_segments() -> None:
    assert localize([0.3]) == [(0.0, 2.0, pytest.approx(0.3))]
    nothing = np.empty(0)
    query = MomentQuery(np.ones(4, np.float32))
    items = [
        TimedRows(nothing, nothing, np.empty((0, 4), np.float32)),
        TimedRows(np.zeros(1), np.ones(1), np.full((1, 4), 0.5, np.float32)),
    ]
    assert SimilarityLocalizer().localize(query, items) == [[], [(0.0, 1.0, pytest.approx(2.0))]]
