import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets.esc10 import SoundClip
from benchmarks.suites import esc10_moments as suite
from retrieval.localization.hammer_model import Level
from retrieval.training.moments.data import AnnotatedMoment, MomentData
from retrieval.training.pairs.augmentation import NO_AUGMENTATION
from retrieval.types import AudioWindows, Medium, Space, TimedRows
from tests.support.messages import logged
from tests.support.small_esc10 import RATE, SMALL, write_tones


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "RECIPE", suite.Recipe("small", SMALL, 20, 3e-3, NO_AUGMENTATION))
    sizes = suite.HammerSizes((Level(16, 1),), width=32, steps=30, learning_rate=3e-3)
    monkeypatch.setattr(suite, "HAMMER", sizes)
    for name, count in (
        ("TRAINING_RECORDINGS", 8),
        ("TEST_RECORDINGS", 4),
        ("VALIDATION_RECORDINGS", 4),
    ):
        monkeypatch.setattr(suite, name, count)


@pytest.mark.long
@pytest.mark.usefixtures("small")
def test_sounds_are_found_in_recordings_of_the_fold_held_out(tmp_path: Path) -> None:
    (tmp_path / "esc10").mkdir()
    folder = tmp_path / "out"
    data = write_tones(tmp_path / "esc10")
    with logged("benchmarks") as messages:
        results = suite.run(folder=folder, data=data)
    half, strict, alike_half, _, minutes = results
    assert (half.task, half.metric) == ("sound in the true recording, Hammer", "R1@0.5")
    assert (half.goal, strict.goal, alike_half.goal, minutes.goal) == (0.6, None, None, 20.0)
    queries = int(next(line for line in messages if "moments in" in line).split()[0])
    assert {row.pool for row in results[:4]} == {queries}
    assert half.baseline is not None
    assert half.baseline < 0.5
    assert alike_half.value is not None
    assert alike_half.value > half.baseline  # tones of a pitch each are easy to tell apart
    card = json.loads((folder / "hammer" / "config.json").read_text())
    assert card["medium"] == "audio"
    with logged("benchmarks") as messages:
        again = suite.run(folder=folder, data=data)
    assert again[:4] == results[:4]
    assert not any("trained" in line for line in messages)  # both models exist


@pytest.mark.usefixtures("small")
def test_a_clip_is_cut_into_windows_without_its_pauses() -> None:
    loud = np.full(RATE, 0.5, np.float32)
    clip = SoundClip(3, 2, np.concatenate([loud, 0 * loud, loud[: RATE * 3 // 4]]))
    pieces = suite.pieces_of([clip, replace(clip, sound=loud[:100])])
    assert [len(piece.sound) for piece in pieces] == [RATE, RATE * 3 // 4, 100]
    assert {(piece.label, piece.fold) for piece in pieces} == {(3, 2)}
    short_end = SoundClip(0, 1, np.concatenate([loud, loud[: RATE // 3]]))
    assert [len(piece.sound) for piece in suite.pieces_of([short_end])] == [RATE]


def test_training_data_has_noise_and_narrower_windows() -> None:
    rows = np.eye(64, dtype=np.float32)
    video = TimedRows(np.arange(64.0), np.arange(64.0) + 2, rows)
    data = MomentData([video], [AnnotatedMoment(0, "rain", ((3.0, 9.0),))], rows[:1], [])
    windows = AudioWindows(RATE, 2.0, 1.0)
    space = Space("s", "s", 64, (Medium.AUDIO,), "f" * 64, windows=windows)
    first, again = (suite.with_noise(data, space, np.random.default_rng(1)) for _ in range(2))
    noisy = first.videos[0].vectors
    np.testing.assert_array_equal(noisy, again.videos[0].vectors)
    np.testing.assert_allclose(np.linalg.norm(noisy, axis=1), 1, rtol=1e-5)
    kept = (noisy * rows).sum(axis=1)
    assert float(kept.mean()) == pytest.approx(1 / (1 + suite.NOISE_LENGTH**2) ** 0.5, abs=0.03)
    assert first.queries == [AnnotatedMoment(0, "rain", ((3.5, 8.5),))]
