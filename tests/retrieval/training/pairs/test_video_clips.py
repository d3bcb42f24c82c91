from pathlib import Path

import numpy as np
import pytest

from retrieval.errors import DamagedMediaError, MediaError
from retrieval.training.pairs.manifest import MediaSpan
from retrieval.training.pairs.video_clips import VideoClipReader
from retrieval.types import ClipFrames, ImageGeometry
from support.media_files import write_video

GEOMETRY = ImageGeometry(16, 16, "bilinear", "shortest")
READER = VideoClipReader(GEOMETRY, ClipFrames(8, 3.0))
"""One frame a second: two of the clip, three before and three after it."""


@pytest.fixture(scope="module")
def brightening(tmp_path_factory: pytest.TempPathFactory) -> str:
    """12 s whose brightness is 20 * second."""
    path = tmp_path_factory.mktemp("videos") / "brightening.mp4"
    write_video(path, [20 * (number // 4) for number in range(48)], rate=4, gop=8)
    return str(path)


def seconds_of(frames: np.ndarray) -> list[int]:
    return np.rint(frames.mean(axis=(1, 2, 3)) / 20).astype(int).tolist()


def test_a_span_comes_with_its_context(brightening: str) -> None:
    decoded = READER.read(MediaSpan(brightening, 4.0, 8.0))
    assert decoded.shape == (10, 16, 16, 3)
    assert seconds_of(decoded) == list(range(1, 11))


def test_context_beyond_the_ends_repeats_frames(brightening: str) -> None:
    decoded = READER.read(MediaSpan(brightening))
    assert seconds_of(decoded) == [0, 0, 0, *range(12), 11, 11, 11]


def test_clips_lie_in_the_span(brightening: str) -> None:
    decoded = READER.read(MediaSpan(brightening, 4.0, 8.0))
    rng = np.random.default_rng(0)
    drawn = {tuple(seconds_of(READER.draw(decoded, rng))) for _ in range(40)}
    assert drawn == {tuple(range(first, first + 8)) for first in (1, 2, 3)}
    views = [seconds_of(view) for view in READER.views(decoded)]
    assert views == [list(range(1, 9)), list(range(3, 11))]


def test_a_short_span_is_one_clip(brightening: str) -> None:
    decoded = READER.read(MediaSpan(brightening, 4.0, 4.5))
    assert len(decoded) == 8
    assert len(READER.views(decoded)) == 1


def test_a_span_behind_the_end_is_refused(brightening: str) -> None:
    with pytest.raises(DamagedMediaError, match="begins at 40 s, the video ends before"):
        READER.read(MediaSpan(brightening, 40.0))


def test_a_file_without_frames_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.mp4").write_bytes(b"nothing")
    with pytest.raises(MediaError):
        READER.read(MediaSpan(str(tmp_path / "no.mp4")))
