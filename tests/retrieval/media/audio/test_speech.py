import importlib.util

import numpy as np
import pytest

from retrieval.errors import MissingExtraError
from retrieval.media.audio.blocks import Gap
from retrieval.media.audio.speech import (
    MAX_STRETCH_SECONDS,
    PIECE_SECONDS,
    RATE_HZ,
    Samples,
    Stretch,
    detect_speech,
    require_speech,
    speech_stretches,
)
from support.voices import silence, voice


def loud(samples: Samples) -> list[tuple[int, int]]:
    """Find the stretches of ones, cut at the longest allowed length."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], samples, [0])) != 0))
    limit = round(MAX_STRETCH_SECONDS * RATE_HZ)
    return [
        (start, min(start + limit, int(end)))
        for first, end in zip(edges[::2], edges[1::2], strict=True)
        for start in range(int(first), int(end), limit)
    ]


def sound(*spans: tuple[float, float], seconds: float) -> Samples:
    samples = np.zeros(round(seconds * RATE_HZ), np.float32)
    for start, end in spans:
        samples[round(start * RATE_HZ) : round(end * RATE_HZ)] = 1
    return samples


def blocks(samples: Samples, seconds: float = 3.7) -> list[Samples]:
    step = round(seconds * RATE_HZ)
    return [samples[start : start + step] for start in range(0, len(samples), step)]


def spans(stretches: list[Stretch]) -> list[tuple[float, float]]:
    return [(one.start_seconds, one.end_seconds) for one in stretches]


def flat(pieces: list[Samples | Gap]) -> list[Stretch]:
    return [one for group in speech_stretches(pieces, loud) for one in group]


def test_speech_across_pieces_is_found_once() -> None:
    wanted = [(1.0, 3.0), (118.0, 123.0), (150.0, 170.0), (239.5, 240.5), (290.0, 300.0)]
    found = flat(blocks(sound(*wanted, seconds=300)))
    assert spans(found) == wanted
    assert all((one.samples == 1).all() for one in found)


def test_short_pauses_are_joined_and_long_speech_is_cut() -> None:
    found = flat([sound((0, 2), (5, 9), (20, 23), (26.5, 50), seconds=60)])
    assert spans(found) == [(0, 9), (20, 23), (26.5, 50)]  # 30 s would be too long
    found = flat(blocks(sound((10, 200), seconds=200)))
    assert spans(found)[0][0] == 10
    assert spans(found)[-1][1] == 200
    assert [end for _, end in spans(found)[:-1]] == [start for start, _ in spans(found)[1:]]
    assert max(len(one.samples) for one in found) <= MAX_STRETCH_SECONDS * RATE_HZ


def test_gaps_shift_the_times_and_are_not_read() -> None:
    hours = Gap(10 * 3_600 * RATE_HZ)
    pieces = [sound((1, 2), seconds=3), hours, sound((0.5, 2), seconds=4)]
    assert spans(flat(pieces)) == [(1, 2), (36_003.5, 36_005)]


def test_memory_is_bounded() -> None:
    longest = 0

    def detector(samples: Samples) -> list[tuple[int, int]]:
        nonlocal longest
        longest = max(longest, len(samples))
        return []

    block = np.zeros(RATE_HZ, np.float32)
    groups = list(speech_stretches((block for _ in range(3_600)), detector))
    assert longest <= (PIECE_SECONDS + 1) * RATE_HZ
    assert len(groups) == 31  # one report per piece


def test_voices_are_detected() -> None:
    pytest.importorskip("faster_whisper")
    parts = [silence(3), voice(5), silence(10), voice(4, seed=1), silence(3)]
    (first, second) = detect_speech(np.concatenate(parts))
    seconds = np.array([*first, *second]) / RATE_HZ
    np.testing.assert_allclose(seconds, [3, 8, 18, 22], atol=0.5)
    assert detect_speech(silence(5)) == []


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "retrieval.media.audio.speech.find_spec",
        lambda name: None if name == "faster_whisper" else real(name),
    )
    with pytest.raises(
        MissingExtraError, match=r"needs faster-whisper; install retrieval\[speech\]"
    ):
        require_speech()
