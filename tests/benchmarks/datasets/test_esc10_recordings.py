import numpy as np
import pytest

from benchmarks.datasets.esc10 import SoundClip
from benchmarks.datasets.esc10_recordings import join_clips, without_quiet_ends

RATE = 1_000


def clips_of(classes: int, takes: int = 3, samples: int = 700) -> list[SoundClip]:
    """Clips whose every sample says class and take: 0.05, 0.055, 0.06, 0.1 …"""
    return [
        SoundClip(label, 1, np.full(samples, (label + 1) / 20 + take / 200, np.float32))
        for label in range(classes)
        for take in range(takes)
    ]


def test_quiet_ends_are_cut_off_and_pauses_stay() -> None:
    sound = np.array([0, 0.001, 0.5, 0, 0, -0.4, 0.005, 0], np.float32)
    np.testing.assert_array_equal(without_quiet_ends(sound), sound[2:6])
    silence = np.zeros(5, np.float32)
    np.testing.assert_array_equal(without_quiet_ends(silence), silence)


@pytest.mark.parametrize("seed", range(20))
def test_a_recording_has_a_span_per_class(seed: int) -> None:
    recording = join_clips(clips_of(10), RATE, np.random.default_rng(seed))
    assert 30 * RATE <= len(recording.sound) < 120 * RATE
    labels = [moment.label for moment in recording.spans]
    assert len(set(labels)) == len(labels)
    end = 0.0
    for moment in recording.spans:
        assert moment.span[0] == end
        assert 4 <= moment.span[1] - moment.span[0] <= 15
        first, last = (round(RATE * seconds) for seconds in moment.span)
        inside = recording.sound[first:last] * 20 - 1
        assert set((inside + 1e-3).astype(int)) == {moment.label}
        end = moment.span[1]
    assert end * RATE == pytest.approx(len(recording.sound))


def test_every_clip_of_a_class_comes_once_before_any_comes_again() -> None:
    recording = join_clips(clips_of(10), RATE, np.random.default_rng(0))
    for moment in recording.spans:
        first = round(RATE * moment.span[0])
        takes = recording.sound[first : first + 2_100].reshape(3, 700)
        assert len(np.unique(takes)) == 3
        assert all(len(np.unique(take)) == 1 for take in takes)


def test_the_seed_decides_and_loud_sound_is_scaled() -> None:
    clips = [SoundClip(c.label, c.fold, 40 * c.sound) for c in clips_of(10)]
    first, again = (join_clips(clips, RATE, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.sound, again.sound)
    assert first.spans == again.spans
    assert np.abs(first.sound).max() == pytest.approx(1.0)
