import numpy as np
import pytest

from retrieval.duplicates.overlaps import find_overlaps
from retrieval.types import TimedRows


def scenes(*numbers: int, first_second: float = 0.0) -> TimedRows:
    """One segment of two seconds per number; equal numbers have equal vectors."""
    starts = first_second + 2.0 * np.arange(len(numbers))
    vectors = np.eye(64, dtype=np.float32)[list(numbers)]
    return TimedRows(starts, starts + 2, vectors)


def spans(item: TimedRows, other: TimedRows, min_seconds: float = 4.0) -> list[tuple[float, ...]]:
    found, _ = find_overlaps(item, other, 0.95, min_seconds)
    return [
        (one.start_seconds, one.end_seconds, one.other_start_seconds, one.other_end_seconds)
        for one in found
    ]


def test_clip_from_film() -> None:
    film = scenes(*range(10, 30))
    found, share = find_overlaps(scenes(14, 15, 16, 17), film, 0.95, 4.0)
    assert share == 1.0
    assert len(found) == 1
    assert (found[0].start_seconds, found[0].end_seconds) == (0, 8)
    assert (found[0].other_start_seconds, found[0].other_end_seconds) == (8, 16)
    assert found[0].score == pytest.approx(1.0)
    assert found[0].mirrored().start_seconds == 8


def test_two_spans_and_their_share() -> None:
    item = scenes(1, 2, 3, 50, 51, 7, 8, 9)
    found, share = find_overlaps(item, scenes(7, 8, 9, 60, 1, 2, 3), 0.95, 4.0)
    assert spans(item, scenes(7, 8, 9, 60, 1, 2, 3)) == [(0, 6, 8, 14), (10, 16, 0, 6)]
    assert share == 6 / 8
    assert len(found) == 2


def test_one_different_segment_is_bridged_two_are_not() -> None:
    film = scenes(1, 2, 3, 4, 5, 6)
    assert spans(scenes(1, 2, 40, 4, 5, 6), film) == [(0, 12, 0, 12)]
    assert spans(scenes(1, 2, 40, 41, 5, 6), film) == [(0, 4, 0, 4), (8, 12, 8, 12)]


def test_short_spans_are_ignored_except_for_short_items() -> None:
    film = scenes(*range(1, 20))
    assert spans(scenes(3, 40, 41, 9), film) == []
    assert spans(scenes(3), film) == [(0, 2, 4, 6)]
    assert spans(scenes(3, 40), film) == []


def test_still_scene_does_not_break_run() -> None:
    film = scenes(1, 2, 5, 5, 5, 5, 5, 3, 4)
    assert spans(film, film) == [(0, 18, 0, 18)]
    assert spans(scenes(2, 5, 5, 5, 5, 5, 3), film) == [(0, 14, 2, 16)]


def test_block_size_does_not_change_overlaps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    item, film = scenes(1, 2, 3, 4, 9, 9, 5, 6), scenes(4, 9, 9, 5, 6, 1, 2, 3)
    whole = spans(item, film)
    monkeypatch.setattr("retrieval.duplicates.overlaps.BLOCK_ROWS", 1)
    assert spans(item, film) == whole
    assert len(whole) == 2


def test_overlap_times_equal_segment_times() -> None:
    assert spans(scenes(1, 2, first_second=30.5), scenes(1, 2)) == [(30.5, 34.5, 0, 4)]
