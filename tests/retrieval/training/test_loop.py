from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from retrieval.errors import WeightsFormatError
from retrieval.progress import Progress, no_progress
from retrieval.training.history import ValidationScore
from retrieval.training.loop import Objective, TrainingRun, finish, train
from support.stopped import stop_at


def score(step: int) -> ValidationScore:
    return ValidationScore(step, {"R@1": step / 100}, 7)


def start_run(
    folder: Path, steps: int, *, seed: int = 0, stage: int | None = None,
    progress: Progress = no_progress,
) -> TrainingRun:  # fmt: skip
    settings = {"seed": seed}
    return TrainingRun.in_folder(
        folder, steps, settings, score=score, stage=stage, progress=progress
    )


def train_constant(run: TrainingRun) -> None:
    """Train a model whose loss in step n is 1 / n."""
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def backward(batch: int) -> tuple[Tensor, str]:
        return torch.tensor(1 / (batch + 1)), " (half of it labels)"

    def batches(first: int) -> Iterator[int]:
        return iter(range(first, run.steps))

    schedule = partial(LambdaLR, optimizer, lambda step: 1.0)
    train(run, Objective(model, optimizer, schedule, backward), batches)


def test_a_stopped_run_is_reported_and_resumes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    calls: list[tuple[object, ...]] = []

    def progress(*call: object) -> None:
        calls.append(call)
        if call[1] == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_constant(start_run(tmp_path, 20, progress=progress))
    assert caplog.messages == [
        "step 0: R@1 0.0% in 7", "step 2: R@1 2.0% in 7", "step 4: R@1 4.0% in 7"
    ]  # fmt: skip
    assert calls[3] == ("training", 4, 20, "loss 0.250 (half of it labels), R@1 4.0%")
    caplog.clear()
    resumed = start_run(tmp_path, 20)
    train_constant(resumed)
    assert caplog.messages[:2] == ["resuming after 4 of 20 steps", "step 6: R@1 6.0% in 7"]
    assert [score.step for score in resumed.history.scores] == list(range(0, 21, 2))
    assert resumed.history.losses == pytest.approx([1 / step for step in range(1, 21)])
    assert resumed.history.seconds > 0
    finish(tmp_path, resumed)
    assert [path.name for path in tmp_path.iterdir()] == ["training.svg"]


def test_stages_have_separate_checkpoints_and_one_plot(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    runs = [start_run(tmp_path, 3, stage=stage) for stage in (1, 2)]
    for run in runs:
        train_constant(run)
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"checkpoint-1.safetensors", "checkpoint-2.safetensors"}
    assert caplog.messages[-1] == "stage 2, step 3: R@1 3.0% in 7"
    finish(tmp_path, *runs)
    assert [path.name for path in tmp_path.iterdir()] == ["training.svg"]
    assert "6 steps" in (tmp_path / "training.svg").read_text()


def test_without_validation_only_the_loss_is_reported() -> None:
    notes: list[str] = []
    train_constant(TrainingRun(2, progress=lambda *call: notes.append(str(call[3]))))
    assert notes == ["loss 1.000 (half of it labels)", "loss 0.500 (half of it labels)"]


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_constant(start_run(tmp_path, 20, progress=stop_at("training", 5)))
    with pytest.raises(WeightsFormatError, match=r"seed 0 \(now 1\)"):
        start_run(tmp_path, 20, seed=1).start()
