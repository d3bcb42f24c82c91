import pytest

from retrieval.localization.spans import overlap, suppress_overlaps


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((0, 10), (0, 10), 1.0),
        ((0, 10), (5, 15), 5 / 15),
        ((0, 10), (2, 4), 0.2),
        ((0, 10), (10, 12), 0.0),
        ((0, 1), (8, 9), 0.0),
    ],
)
def test_overlap_by_hand(first, second, expected) -> None:
    assert overlap(first, second) == pytest.approx(expected)
    assert overlap(second, first) == pytest.approx(expected)


def test_best_of_overlapping_spans_is_kept() -> None:
    spans = [(0, 4, 0.5), (3, 6, 0.9), (6, 8, 0.4), (7, 9, 0.3)]
    assert suppress_overlaps(spans, limit=10) == [(3, 6, 0.9), (6, 8, 0.4)]
    assert suppress_overlaps(spans, limit=1) == [(3, 6, 0.9)]
    assert suppress_overlaps([], limit=3) == []
