from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from benchmarks.datasets.esc10 import SoundClip, read_clips, read_sound, split
from benchmarks.suites import esc10 as suite
from retrieval.errors import SourceError
from retrieval.training.pairs.augmentation import NO_AUGMENTATION
from tests.support.messages import logged
from tests.support.small_esc10 import RATE, SMALL, tone, write_tones


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten classes, told apart by pitch; two clips of each in every fold."""
    return write_tones(tmp_path_factory.mktemp("esc10"))


def test_clips_of_a_folder(folder: Path) -> None:
    names, clips = read_clips(folder, RATE)
    assert names == [f"tone {letter}" for letter in "abcdefghij"]
    assert len(clips) == 100
    assert [(clip.label, clip.fold) for clip in clips[:4]] == [(0, 1), (0, 1), (0, 2), (0, 2)]
    assert {len(clip.sound) for clip in clips} == {RATE}
    seen, held_out = split(clips, 3)
    assert {clip.fold for clip in held_out} == {3}
    assert {clip.fold for clip in seen} == {1, 2, 4, 5}
    assert (len(seen), len(held_out)) == (80, 20)


def test_a_recording_is_read_whole(tmp_path: Path) -> None:
    sound = np.concatenate([tone(440, 0.5, seed=0), np.zeros(9_000, np.float32)])
    soundfile.write(tmp_path / "padded.wav", sound, RATE, subtype="FLOAT")
    np.testing.assert_array_equal(read_sound(tmp_path / "padded.wav", RATE), sound)


def test_another_folder_fails(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not a folder"):
        read_clips(tmp_path / "nowhere", RATE)
    with pytest.raises(SourceError, match="holds 0 folders like '001 - Dog bark', expected 10"):
        read_clips(tmp_path, RATE)
    for label in range(10):
        (tmp_path / f"{label:03} - {label}").mkdir()
        soundfile.write(tmp_path / f"{label:03} - {label}" / "2-1-A.wav", np.ones(9), RATE)
    with pytest.raises(SourceError, match=r"clips of the folds \[2\], expected 1 to 5"):
        read_clips(tmp_path, RATE)


def test_batches_hold_as_many_of_each_class() -> None:
    labels = np.repeat(np.arange(3), 8)
    pictures = torch.arange(24.0).reshape(24, 1, 1)
    tokens = torch.arange(6).reshape(3, 2, 1)
    batches = suite.balanced_batches(pictures, labels, tokens, seed=0)
    epoch = [next(batches), next(batches)]
    for media, texts in epoch:
        of_class = (media.flatten() // 8).long()
        assert of_class.tolist() == [0] * 4 + [1] * 4 + [2] * 4
        assert torch.equal(texts.flatten() // 2, of_class)
        assert texts.unique().numel() == 3  # one of its two captions for all of a class
    everything = torch.cat([media for media, _ in epoch]).flatten()
    assert sorted(everything.tolist()) == list(range(24))


def test_the_nearest_neighbour_knows_tones(folder: Path) -> None:
    _, clips = read_clips(folder, RATE)
    assert suite.nearest_neighbour_accuracy(clips) == 1.0
    shuffled = [SoundClip(number % 10, clip.fold, clip.sound) for number, clip in enumerate(clips)]
    assert suite.nearest_neighbour_accuracy(shuffled) < 0.5


@pytest.mark.long
def test_a_suite_trains_on_four_folds_and_is_scored_on_the_fifth(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = suite.Recipe("small", SMALL, 30, 3e-3, NO_AUGMENTATION)
    monkeypatch.setattr(suite, "RECIPES", (recipe,))
    monkeypatch.setattr(suite, "FOLDS", (1, 2))
    with logged("benchmarks") as messages:
        outcome = suite.run(folder=tmp_path, data=folder)
    mean, lowest, minutes, *published = outcome.results
    assert (mean.task, mean.metric, mean.pool) == ("small", "accuracy", 100)
    assert (mean.goal, mean.baseline, mean.chance, mean.published) == (0.8, 1.0, 0.1, 0.81)
    assert mean.value is not None
    assert mean.value > 0.8
    assert lowest.value is not None
    assert lowest.value <= mean.value
    assert minutes.goal == 60.0
    assert [(row.published, row.value) for row in published] == [
        (0.727, None), (0.81, None), (0.957, None)
    ]  # fmt: skip
    assert sum("fold" in line for line in messages) == 2
    (values,) = outcome.queries
    assert len(set(values.ids)) == len(values.ids) == 40
    assert np.mean(values.values["accuracy"]) == pytest.approx(mean.value)


@pytest.mark.long
def test_training_goes_on_from_a_model(folder: Path, tmp_path: Path) -> None:
    names, clips = read_clips(folder, RATE)
    scratch = suite.Recipe("first", SMALL, 1, 1e-3, NO_AUGMENTATION)
    suite.train(scratch, clips, names, tmp_path / "first")
    further = replace(scratch, learning_rate=1e-9, start=tmp_path / "first")
    suite.train(further, clips, names, tmp_path / "second", scale=0.1)
    first, second = (tmp_path / name for name in ("first", "second"))
    for name in ("config.json", "tokenizer.json"):
        assert (first / name).read_text() == (second / name).read_text()
    before, after = (suite.read_model(path, spec="m")[0].text for path in (first, second))
    for one, other in zip(before.parameters(), after.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=0)


@pytest.mark.long
def test_real_clips(real_data: Path) -> None:
    names, clips = read_clips(real_data / "sounds" / "esc10", RATE)
    assert names[:3] == ["dog bark", "rain", "sea waves"]
    assert np.bincount([clip.label for clip in clips]).tolist() == [40] * 10
    assert np.bincount([clip.fold for clip in clips]).tolist() == [0, 80, 80, 80, 80, 80]
    lengths = [len(clip.sound) / RATE for clip in clips]
    assert float(np.median(lengths)) == pytest.approx(5.0, abs=0.01)
    assert 5.1 < max(lengths) < 7.3  # not every clip has the promised length
