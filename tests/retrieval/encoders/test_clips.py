import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval.encoders.clips import ClipCutter
from retrieval.types import ClipFrames


def numbered(count: int, first: int = 0) -> NDArray[np.uint8]:
    """Make frames of 1 x 1 whose value is their index."""
    return np.arange(first, first + count, dtype=np.uint8)[:, None, None, None].repeat(3, 3)


def cut(
    wanted: ClipFrames, seconds: list[float], *, clip_seconds: float = 2.0, chunk: int = 1_000
) -> dict[float, list[int]]:
    """Return the frame indices of each clip by its start."""
    cutter, found = ClipCutter(wanted, clip_seconds), {}
    times, frames = np.array(seconds), numbered(len(seconds))
    for first in range(0, len(seconds), chunk):
        part = slice(first, first + chunk)
        starts, clips = cutter.add(times[part], frames[part])
        found |= dict(zip(starts.tolist(), clips[:, :, 0, 0, 0].tolist(), strict=True))
    starts, clips = cutter.finish()
    return found | dict(zip(starts.tolist(), clips[:, :, 0, 0, 0].tolist(), strict=True))


HALVES = [number / 2 for number in range(10)]  # 0, 0.5, … 4.5: the last clip has two frames


def test_each_frame_is_used_once_if_sampling_matches() -> None:
    assert cut(ClipFrames(4), HALVES) == {
        0.0: [0, 1, 2, 3],
        2.0: [4, 5, 6, 7],
        4.0: [8, 9, 9, 9],  # the last frame is repeated
    }


def test_frames_are_repeated_or_dropped_evenly() -> None:
    assert cut(ClipFrames(8), HALVES)[2.0] == [4, 4, 5, 5, 6, 6, 7, 7]
    assert cut(ClipFrames(2), HALVES)[2.0] == [5, 7]
    assert cut(ClipFrames(1), HALVES)[2.0] == [6]


def test_context_comes_from_neighbouring_clips() -> None:
    assert cut(ClipFrames(8, context_seconds=1.0), HALVES) == {
        0.0: [0, 0, 0, 1, 2, 3, 4, 5],
        2.0: [2, 3, 4, 5, 6, 7, 8, 9],
        4.0: [6, 7, 8, 9, 9, 9, 9, 9],
    }


@pytest.mark.parametrize("chunk", [1, 3, 4, 10])
@pytest.mark.parametrize("wanted", [ClipFrames(4), ClipFrames(6, 1.0), ClipFrames(5, 3.5)])
def test_clips_are_independent_of_the_chunks_of_frames(wanted: ClipFrames, chunk: int) -> None:
    seconds = [number / 3 for number in range(60)]
    assert cut(wanted, seconds, chunk=chunk) == cut(wanted, seconds)


def test_a_clip_without_a_frame_is_left_out() -> None:
    assert cut(ClipFrames(2), [0.0, 5.0, 6.5]) == {0.0: [0, 0], 4.0: [1, 1], 6.0: [2, 2]}


def test_a_frame_on_a_border_belongs_to_the_later_clip() -> None:
    # 0.3 / 0.1 is a little less than 3 in floating point
    tenths = [number * 0.1 for number in range(5)]
    assert list(cut(ClipFrames(1), tenths, clip_seconds=0.1).values()) == [[0], [1], [2], [3], [4]]


def test_a_video_without_frames_has_no_clips() -> None:
    starts, clips = ClipCutter(ClipFrames(2), 2.0).finish()
    assert len(starts) == len(clips) == 0


def test_memory_is_bounded_by_a_clip_and_its_context() -> None:
    cutter = ClipCutter(ClipFrames(4, context_seconds=1.0), 2.0)
    for number in range(100):
        cutter.add(np.array([number / 2]), numbered(1, number))
        assert len(cutter._seconds) <= 8


@pytest.mark.parametrize(("frames", "context"), [(0, 0.0), (4, -1.0), (4, float("inf"))])
def test_an_impossible_clip_fails(frames: int, context: float) -> None:
    with pytest.raises(ValueError, match="at least one frame and no negative context"):
        ClipFrames(frames, context)
