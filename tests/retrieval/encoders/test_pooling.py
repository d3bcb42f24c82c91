import numpy as np
import pytest

from indexes.errors import InvalidVectorError
from retrieval.encoders.pooling import pool_clips, unit_rows

X, Y = [1.0, 0.0], [0.0, 1.0]
HALF = 0.5**0.5


def pool(seconds, vectors, clip_seconds=2.0, duration=None):
    return pool_clips(
        np.array(seconds, np.float64),
        np.array(vectors, np.float32).reshape(-1, 2),
        clip_seconds,
        duration_seconds=duration,
    )


def test_clips_are_means_of_their_half_open_span() -> None:
    starts, ends, vectors = pool([0.0, 0.5, 1.99, 2.0, 3.5], [X, X, X, X, Y])
    np.testing.assert_array_equal(starts, [0, 2])
    np.testing.assert_array_equal(ends, [2, 4])
    np.testing.assert_allclose(vectors, [X, [HALF, HALF]], atol=1e-6)
    assert vectors.dtype == np.float32


def test_a_clip_without_frames_is_left_out() -> None:
    starts, ends, vectors = pool([0.5, 9.0], [X, Y])
    np.testing.assert_array_equal(starts, [0, 8])
    np.testing.assert_array_equal(ends, [2, 10])
    np.testing.assert_array_equal(vectors, [X, Y])


@pytest.mark.parametrize(
    ("duration", "end"), [(5.25, 5.25), (None, 6.0), (60.0, 6.0), (4.0, 6.0), (0.0, 6.0)]
)
def test_the_last_clip_ends_where_the_video_does(duration: float | None, end: float) -> None:
    starts, ends, _ = pool([0.0, 5.0], [X, Y], duration=duration)
    np.testing.assert_array_equal(starts, [0, 4])
    np.testing.assert_array_equal(ends, [2, end])


def test_a_frame_on_a_border_belongs_to_the_later_clip_despite_rounding() -> None:
    assert 0.3 / 0.1 < 3
    starts, _, _ = pool([0.3], [X], clip_seconds=0.1)
    np.testing.assert_allclose(starts, [0.3])


def test_single_and_no_frames() -> None:
    starts, ends, vectors = pool([0.0], [X], duration=0.04)
    assert (starts.tolist(), ends.tolist(), vectors.tolist()) == ([0.0], [0.04], [X])
    starts, ends, vectors = pool([], [])
    assert (starts.shape, ends.shape, vectors.shape) == ((0,), (0,), (0, 2))
    assert (starts.dtype, vectors.dtype) == (np.float64, np.float32)


def test_frames_that_cancel_out_fail() -> None:
    with pytest.raises(InvalidVectorError, match="clip's frames: vector 0 of 1 has length zero"):
        pool([0.0, 1.0], [X, [-1.0, 0.0]])


def test_unit_rows_scales_to_length_one() -> None:
    rows = unit_rows(np.array([[3.0, 4.0], [1e-6, 0.0], [3e38, 0.0]], np.float32), "model")
    np.testing.assert_allclose(rows, [[0.6, 0.8], X, X], atol=1e-7)
    assert rows.dtype == np.float32
    assert unit_rows(np.empty((0, 4), np.float32), "model").shape == (0, 4)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [([np.nan, 1], "NaN"), ([np.inf, 1], "infinity"), ([0.0, 0.0], "has length zero")],
)
def test_a_vector_without_direction_fails(row: list[float], complaint: str) -> None:
    with pytest.raises(InvalidVectorError, match=f"model: vector 1 of 2 .*{complaint}"):
        unit_rows(np.array([X, row], np.float32), "model")
