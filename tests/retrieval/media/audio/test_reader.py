import io
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from retrieval.errors import DamagedMediaError, MediaTooLargeError, UnsupportedMediaError
from retrieval.media.audio.blocks import resample
from retrieval.media.audio.reader import open_sound
from retrieval.media.audio.windows import cut_windows
from retrieval.types import AudioWindows
from support.media_files import make_tone, sound_bytes, write_m4a, write_video


def read(file: io.BytesIO | str, rate: int = 16_000) -> np.ndarray:
    with open_sound(file) as sound:
        return np.concatenate(list(sound.mono(rate)))


def assert_is_tone(samples: np.ndarray, rate: int, hertz: float, seconds: float) -> None:
    """Check length and pitch, away from the edges where filters ring."""
    assert len(samples) == pytest.approx(seconds * rate, abs=0.15 * rate)
    middle = samples[len(samples) // 4 : 3 * len(samples) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * rate / len(middle) == pytest.approx(hertz, abs=2.0)
    assert np.abs(middle).max() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 192_000])
def test_fault_25_any_sample_rate(rate: int) -> None:
    samples = read(io.BytesIO(sound_bytes(make_tone(2.0, rate), rate)))
    assert_is_tone(samples, 16_000, 440, 2.0)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "MP3", "OGG", "AIFF"])
def test_formats_of_libsndfile(kind: str) -> None:
    assert_is_tone(read(io.BytesIO(sound_bytes(make_tone(2.0), kind=kind))), 16_000, 440, 2.0)


def test_aac_is_read_by_ffmpeg(tmp_path: Path) -> None:
    path = write_m4a(tmp_path / "a.m4a", make_tone(2.0))
    assert_is_tone(read(str(path)), 16_000, 440, 2.0)


def test_fault_25_eight_channels_are_averaged() -> None:
    tone = make_tone(1.0)
    channels = np.stack([8 * tone / 8] + [np.zeros_like(tone)] * 7, axis=1)
    samples = read(io.BytesIO(sound_bytes(channels, subtype="FLOAT")))
    np.testing.assert_allclose(samples, tone / 8, atol=1e-6)


def test_too_many_channels_fail() -> None:
    content = sound_bytes(np.zeros((100, 65), np.float32))
    with pytest.raises(MediaTooLargeError, match="65 channels, at most 64"):
        read(io.BytesIO(content))


def test_streamed_resampling_equals_resampling_at_once() -> None:
    import soxr

    sound = make_tone(3.0, 44_100) + make_tone(3.0, 44_100, 3_000.0)
    blocks = [sound[i : i + 1_000] for i in range(0, len(sound), 1_000)]
    streamed = np.concatenate(list(resample(blocks, 44_100, 16_000)))
    np.testing.assert_allclose(streamed, soxr.resample(sound, 44_100, 16_000), atol=1e-4)


def test_sound_of_a_video_begins_with_the_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [0] * 20, sound=make_tone(2.0))
    with open_sound(str(path)) as sound:
        samples = np.concatenate(list(sound.mono(16_000)))
    assert_is_tone(samples, 16_000, 440, 2.0)


# ---------------------------------------------------------------- bad recordings


@pytest.mark.parametrize("content", [b"", b"<html>404</html>" * 100])
def test_fault_25_empty_or_foreign_fails(content: bytes) -> None:
    with pytest.raises(UnsupportedMediaError, match="no recording or video that can be opened"):
        read(io.BytesIO(content))


def test_fault_25_header_only_fails() -> None:
    with pytest.raises(DamagedMediaError, match="holds no sound"):
        read(io.BytesIO(sound_bytes(make_tone(1.0))[:44]))
    with pytest.raises(DamagedMediaError, match="holds no sound"):
        read(io.BytesIO(sound_bytes(make_tone(0.0))))


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "MP3", "AIFF"])
def test_fault_25_cut_in_half_fails(kind: str) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 64_000).astype(np.float32)
    content = sound_bytes(noise, kind=kind)
    with pytest.raises(DamagedMediaError, match=r"ends early .* of 4\.0 seconds"):
        read(io.BytesIO(content[: len(content) // 2]))


def test_a_wav_of_unknown_length_is_not_damaged() -> None:
    content = bytearray(sound_bytes(make_tone(1.0)))
    content[40:44] = struct.pack("<I", 0xFFFF_FFFF)
    assert len(read(io.BytesIO(bytes(content)))) == 16_000


def test_fault_25_m4a_without_its_index_fails(tmp_path: Path) -> None:
    content = write_m4a(tmp_path / "a.m4a", make_tone(2.0)).read_bytes()
    with pytest.raises(UnsupportedMediaError, match="no recording or video that can be opened"):
        read(io.BytesIO(content[: len(content) // 2]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_fault_25_nan_and_infinity_fail(value: float) -> None:
    tone = make_tone(6.0)
    tone[90_000] = value
    with pytest.raises(DamagedMediaError, match="NaN or infinite samples after second 4"):
        read(io.BytesIO(sound_bytes(tone, subtype="FLOAT")))


def test_absurd_sample_rate_fails() -> None:
    with pytest.raises(DamagedMediaError, match="sample rate 10 Hz"):
        read(io.BytesIO(sound_bytes(make_tone(1.0), rate=10)))


def test_fault_25_ten_hours_in_constant_memory(tmp_path: Path) -> None:
    rate, seconds = 1_000, 36_000
    path = tmp_path / "long.wav"
    header = bytearray(sound_bytes(np.zeros(1, np.float32), rate, subtype="PCM_U8"))[:44]
    header[4:8] = struct.pack("<I", 36 + rate * seconds)
    header[40:44] = struct.pack("<I", rate * seconds)
    with path.open("wb") as file:
        file.write(header)
        file.truncate(44 + rate * seconds)  # sparse: takes no room on the disk
    tracemalloc.start()
    try:
        with open_sound(str(path)) as sound:
            windows = sum(1 for _ in cut_windows(sound.mono(rate), AudioWindows(rate)))
            peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert windows == seconds // 10
    assert sound.seconds_read == seconds
    assert peak < 8 << 20
