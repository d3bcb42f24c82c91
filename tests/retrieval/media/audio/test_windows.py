import numpy as np
import pytest

from retrieval.media.audio.blocks import Gap
from retrieval.media.audio.windows import cut_windows
from retrieval.types import AudioWindows


def cut(samples: int, block: int = 7, **options: float) -> list[tuple[float, float, list[float]]]:
    """Cut 0, 1, 2, … at 10 Hz, delivered in blocks."""
    sound = np.arange(samples, dtype=np.float32)
    blocks = [sound[i : i + block] for i in range(0, samples, block)]
    found = cut_windows(blocks, AudioWindows(sample_rate_hz=10, **options))
    return [(w.start_seconds, w.end_seconds, w.samples.tolist()) for w in found]


def test_windows_are_consecutive_and_the_last_is_padded() -> None:
    assert cut(25, window_seconds=1, hop_seconds=1) == [
        (0.0, 1.0, list(range(10))),
        (1.0, 2.0, list(range(10, 20))),
        (2.0, 2.5, [*range(20, 25), 0, 0, 0, 0, 0]),
    ]


def test_tail_shorter_than_half_a_second_is_dropped() -> None:
    assert [w[:2] for w in cut(24, window_seconds=1, hop_seconds=1)] == [(0.0, 1.0), (1.0, 2.0)]


def test_sound_of_any_short_length_is_one_window() -> None:
    assert cut(3, window_seconds=1, hop_seconds=1) == [(0.0, 0.3, [0, 1, 2, *[0] * 7])]


def test_overlapping_windows_end_with_the_first_that_reaches_the_end() -> None:
    spans = [w[:2] for w in cut(26, window_seconds=2, hop_seconds=1)]
    assert spans == [(0.0, 2.0), (1.0, 2.6)]
    assert [w[:2] for w in cut(20, window_seconds=2, hop_seconds=1)] == [(0.0, 2.0)]


def test_hop_longer_than_a_window_leaves_gaps() -> None:
    found = cut(45, window_seconds=1, hop_seconds=2)
    assert [w[:2] for w in found] == [(0.0, 1.0), (2.0, 3.0), (4.0, 4.5)]
    assert found[1][2] == list(range(20, 30))


@pytest.mark.parametrize("block", [1, 3, 10, 100])
def test_windows_do_not_depend_on_the_block_size(block: int) -> None:
    for hop in (0.5, 1.0, 1.7):
        options = {"window_seconds": 1.0, "hop_seconds": hop}
        assert cut(64, block=block, **options) == cut(64, block=64, **options)


def test_no_sound_gives_no_window() -> None:
    assert cut(0) == []


@pytest.mark.parametrize("hop", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("before", [0, 3, 10, 25])
@pytest.mark.parametrize("gap", [1, 9, 10, 11, 47, 1_003])
def test_field_10_a_gap_is_cut_as_silence_without_windows_of_its_own(
    hop: float, before: int, gap: int
) -> None:
    windows = AudioWindows(sample_rate_hz=10, window_seconds=1, hop_seconds=hop)
    first = np.ones(before, np.float32)
    last = np.full(26, 2, np.float32)
    silence = cut_windows([first, np.zeros(gap, np.float32), last], windows)
    expected = [
        (window.start_seconds, window.end_seconds, window.samples.tolist())
        for window in silence
        if window.samples.any()
    ]
    found = [
        (window.start_seconds, window.end_seconds, window.samples.tolist())
        for window in cut_windows([first, Gap(gap), last], windows)
        if window.samples.any()
    ]
    assert found == expected
    everything = list(cut_windows([first, Gap(gap), last], windows))
    # Only a window that ends with the gap's remainder can be silent: none lies wholly inside.
    assert all(
        window.samples.any()
        or not (before / 10 <= window.start_seconds and window.end_seconds <= (before + gap) / 10)
        for window in everything
    )


def test_field_07_a_gap_costs_no_work_however_long_it_is() -> None:
    windows = AudioWindows(sample_rate_hz=16_000)
    year = 30_000_000 * 16_000
    sound = np.ones(16_000, np.float32)
    found = list(cut_windows([sound, Gap(year), sound], windows))
    assert [window.start_seconds for window in found] == [0.0, 30_000_000.0]
    assert found[1].samples[16_000:].sum() == 16_000 or found[1].samples[:32_000].sum() == 16_000
