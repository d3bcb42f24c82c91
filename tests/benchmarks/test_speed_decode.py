from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.speed import decode, photographs
from benchmarks.speed.video import write_video


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "MAX_SIZE", (1000, 750))
    monkeypatch.setattr(decode, "MEGAPIXELS", (0.3, 0.7))
    monkeypatch.setattr(decode, "TURNS", 1)


def test_all_kinds_of_media_are_compared_with_their_library(tmp_path: Path) -> None:
    results = decode.run(folder=tmp_path, scale=0.05)
    assert [result.metric for result in results] == [
        "time ÷ Pillow's, every pixel decoded",
        "time ÷ Pillow's, as few pixels decoded",
        "photographs per second",
        *["time ÷ soundfile's and soxr's", "seconds of sound per second"] * 3,
        "time ÷ PyAV's and soxr's",
        "seconds of sound per second",
        "time ÷ PyAV's, every frame decoded",
        "seconds of video per second",
    ]
    for result in results:
        assert (result.value or 0) > 0
    every, rate = results[0], results[2]
    assert every.value == pytest.approx((rate.baseline or 0) / (rate.value or 1))


def test_both_sides_end_with_the_same_pictures(tmp_path: Path) -> None:
    (path,) = photographs.write_photographs(tmp_path, 1, megapixels=(0.5, 0.5))
    (chunk,) = decode.decoded([path])
    assert chunk.samples.shape == (1, decode.SIDE, decode.SIDE, 3)
    ours = chunk.samples[0].astype(int)
    assert np.abs(ours - decode.picture(path, draft=True)).mean() < 3
    assert np.abs(ours - decode.picture(path)).mean() < 3


@pytest.mark.parametrize("kind", decode.RECORDINGS)
def test_both_sides_end_with_the_same_sound(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"recording.{kind}"
    decode.write_recording(path, 3)
    (chunk,) = decode.decoded([path])
    raw = decode.sound_by_pyav(path) if kind == "m4a" else decode.sound_by_soundfile(path)
    count = 2 * decode.MODEL_RATE_HZ
    assert np.abs(chunk.samples[0, :count] - raw[:count]).max() < 1e-3
    assert np.abs(raw[:count]).max() > 0.2


def test_both_sides_end_with_the_same_frames(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", 3, decode.GROUP)
    (chunk,) = decode.decoded([tmp_path / "v.mp4"])
    raw = decode.frames(tmp_path / "v.mp4", 2.0)
    assert chunk.samples.shape == raw.shape
    assert np.abs(chunk.samples.astype(int) - raw).mean() < 3


def test_fault_19_a_file_that_cannot_be_decoded_ends_the_measurement(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (9, 9)).save(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(RuntimeError, match=r"a\.png: "):
        decode.decoded([path])
