from pathlib import Path

import pytest
import torch
from torch import nn

from retrieval.errors import WeightsFormatError
from retrieval.training.history import ValidationScore
from retrieval.training.run import Telling, TrainingRun, finish


def score(step: int) -> ValidationScore:
    return ValidationScore(step, {"R@1": step / 100}, 7)


def take_steps(run: TrainingRun, last: int) -> None:
    """Train nothing, as a trainer would."""
    model = nn.Linear(1, 1)
    optimizer = torch.optim.AdamW(model.parameters())
    first = run.begin()
    run.checkpoint.restore(model, optimizer, run.history)
    for step in range(first + 1, last + 1):
        run.history.losses.append(1 / step)
        run.on_step(step, 1 / step, " (half of it labels)")
        if run.checkpoint.is_due(step, run.steps):
            run.checkpoint.save(model, optimizer, run.history)


def test_a_run_is_told_of_and_goes_on(tmp_path: Path) -> None:
    said: list[str] = []
    shown: list[tuple[object, ...]] = []
    telling = Telling(said.append, lambda *what: shown.append(what))
    take_steps(TrainingRun(tmp_path, 20, {"seed": 0}, telling, score), 5)
    assert said == ["step 0: R@1 0.0% in 7", "step 2: R@1 2.0% in 7", "step 4: R@1 4.0% in 7"]
    assert shown[3] == ("train", 4, 20, "loss 0.250 (half of it labels), R@1 4.0%")
    again = TrainingRun(tmp_path, 20, {"seed": 0}, telling, score)
    said.clear()
    take_steps(again, 20)
    assert said[:2] == ["going on after 4 of 20 steps", "step 6: R@1 6.0% in 7"]
    assert [one.step for one in again.history.scores] == list(range(0, 21, 2))
    assert again.history.seconds > 0
    finish(again)
    assert [path.name for path in tmp_path.iterdir()] == ["training.svg"]


def test_lessons_have_their_own_checkpoints_and_one_plot(tmp_path: Path) -> None:
    said: list[str] = []
    runs = [TrainingRun(tmp_path, 3, {}, Telling(said.append), score, n) for n in (1, 2)]
    for run in runs:
        take_steps(run, 3)
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"checkpoint-1.safetensors", "checkpoint-2.safetensors"}
    assert said[-1] == "lesson 2, step 3: R@1 3.0% in 7"
    finish(*runs)
    assert [path.name for path in tmp_path.iterdir()] == ["training.svg"]
    assert "6 steps; loss" in (tmp_path / "training.svg").read_text()


def test_without_validation_only_the_loss_is_told(tmp_path: Path) -> None:
    shown: list[str] = []
    telling = Telling(progress=lambda what, done, total, note: shown.append(note))
    take_steps(TrainingRun(tmp_path, 2, {}, telling), 2)
    assert shown == ["loss 1.000 (half of it labels)", "loss 0.500 (half of it labels)"]


def test_another_training_is_refused(tmp_path: Path) -> None:
    take_steps(TrainingRun(tmp_path, 20, {"seed": 0}, Telling()), 5)
    with pytest.raises(WeightsFormatError, match=r"seed 0 \(now 1\)"):
        TrainingRun(tmp_path, 20, {"seed": 1}, Telling()).begin()
