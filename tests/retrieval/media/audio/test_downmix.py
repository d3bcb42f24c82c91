import io
from pathlib import Path

import numpy as np
import pytest

from retrieval.media.audio.downmix import Downmix
from retrieval.media.audio.reader import open_sound
from support.media_files import make_tone, sound_bytes
from support.timed_media import write_sound

FIVE_ONE = ("FL", "FR", "FC", "LFE", "SL", "SR")
RATE = 16_000


def noise(channels: int, samples: int = 40_000) -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.normal(0, 0.1, (samples, channels)).astype(np.float32)


def read(content: bytes) -> np.ndarray:
    with open_sound(io.BytesIO(content)) as sound:
        return np.concatenate(list(sound.mono(RATE)))


def test_field_24_weights_are_those_of_itu_r_bs_775() -> None:
    block = noise(6)
    left, right, centre, _, left_back, right_back = block.T
    half = np.sqrt(0.5)
    lo = left + half * centre + half * left_back
    ro = right + half * centre + half * right_back
    np.testing.assert_allclose(Downmix().mix(block, FIVE_ONE), (lo + ro) / 2, atol=1e-6)


@pytest.mark.parametrize("channel", range(6))
def test_field_24_each_channel_of_5_1_is_audible_alone(channel: int) -> None:
    block = np.zeros((RATE, 6), np.float32)
    block[:, channel] = make_tone(1.0, RATE)
    mixed = Downmix().mix(block, FIVE_ONE)
    level = float(np.abs(mixed).max() / np.abs(block).max())
    expected = [0.5, 0.5, 0.707, 0.5, 0.354, 0.354][channel]
    assert level == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "FLAC"])
def test_field_24_centre_of_a_5_1_file(kind: str) -> None:
    channels = np.zeros((RATE, 6), np.float32)
    channels[:, 2] = make_tone(1.0, RATE)
    samples = read(sound_bytes(channels, RATE, kind=kind))
    np.testing.assert_allclose(samples, np.sqrt(0.5) * make_tone(1.0, RATE), atol=1e-3)


@pytest.mark.parametrize("kind", ["mka", "m4a", "ac3"])
def test_field_24_centre_of_a_compressed_5_1_file(tmp_path: Path, kind: str) -> None:
    channels = np.zeros((6, 96_000), np.float32)
    channels[2] = make_tone(2.0, 48_000)
    codec = {"mka": "flac", "m4a": "aac", "ac3": "ac3"}[kind]
    path = write_sound(
        tmp_path / f"a.{kind}",
        channels,
        codec=codec,
        layout="5.1",
        kind="mp4" if kind == "m4a" else None,
    )
    samples = read(path.read_bytes())
    assert np.abs(samples[8_000:24_000]).max() == pytest.approx(0.354, abs=0.04)


@pytest.mark.parametrize("factor", [-1.0, -0.9, -0.5])
def test_field_24_opposite_phase_is_audible(factor: float) -> None:
    tone = make_tone(3.0, RATE)
    samples = read(sound_bytes(np.stack([tone, factor * tone], axis=1), RATE, subtype="FLOAT"))
    np.testing.assert_allclose(samples, tone * (1 - factor) / 2, atol=1e-6)


def test_field_24_opposite_surround_and_centre_are_audible() -> None:
    tone = make_tone(1.0, RATE)
    block = np.zeros((RATE, 6), np.float32)
    block[:, 4], block[:, 5] = tone, -tone
    assert np.abs(Downmix().mix(block, FIVE_ONE)).max() == pytest.approx(0.354, abs=0.01)
    block[:] = 0
    block[:, 0] = block[:, 1] = -np.sqrt(0.5) * tone
    block[:, 2] = tone
    assert np.abs(Downmix().mix(block, FIVE_ONE)).max() > 0.5


def test_ordinary_stereo_is_its_mean() -> None:
    for block in (noise(2), np.repeat(noise(1), 2, axis=1)):
        np.testing.assert_allclose(Downmix().mix(block), block.mean(axis=1), atol=1e-7)


def test_a_change_of_phase_is_faded() -> None:
    tone = make_tone(8.192, 8_000, 39.0625)  # 65,536 samples; it passes through 0 at 32,768
    other = tone.copy()
    other[32_768:] *= -1
    mixed = Downmix().mix(np.stack([tone, other], axis=1))
    assert np.abs(mixed[30_000:32_000]).max() == pytest.approx(0.5, abs=0.01)
    assert np.abs(mixed[34_000:36_000]).max() == pytest.approx(0.5, abs=0.01)
    assert np.abs(np.diff(mixed)).max() < 0.03


def test_the_downmix_does_not_depend_on_the_block_size() -> None:
    block = noise(2, 65_536)
    block[:, 1] = -block[:, 0]
    mixer = Downmix()
    parts = [mixer.mix(part) for part in np.split(block, 8)]
    np.testing.assert_array_equal(np.concatenate(parts), Downmix().mix(block))


@pytest.mark.parametrize("channels", [3, 4, 5, 8, 16])
def test_channels_without_names_have_equal_weights(channels: int) -> None:
    block = noise(channels)
    np.testing.assert_allclose(Downmix().mix(block), block.mean(axis=1), atol=1e-6)
