import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from retrieval.errors import StorageError, WeightsFormatError
from retrieval.progress import Progress, no_progress
from retrieval.training.checkpoint import TrainingCheckpoint
from retrieval.training.history import TrainingHistory, ValidationScore
from retrieval.training.loop import TrainingRun
from retrieval.training.pairs.contrastive import TrainingSettings, train_contrastive
from support.stopped import stop_at

SETTINGS = TrainingSettings(12, learning_rate=0.02, warmup_steps=3, part_pairs=3)


class Towers(nn.Module):
    """Two towers with dropout, so that the random state matters."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.media = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3))
        self.text = nn.Embedding(9, 8)
        self.logit_scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, media: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        media, text = self.media(media), self.text(tokens)
        return (
            functional.normalize(media, dim=-1),
            functional.normalize(text, dim=-1),
            self.logit_scale.exp(),
        )


def batches(first: int):
    for step in range(first, SETTINGS.steps):
        generator = torch.Generator().manual_seed(step)
        yield torch.randn(6, 4, generator=generator), torch.randperm(9, generator=generator)[:6]


def train(path: Path, progress: Progress = no_progress) -> tuple[dict[str, Tensor], list[float]]:
    model = Towers()
    checkpoint = TrainingCheckpoint(path, {"seed": 0}, every_steps=5)
    run = TrainingRun(SETTINGS.steps, checkpoint, progress=progress)
    losses = train_contrastive(model, batches, SETTINGS, run)
    return model.state_dict(), losses


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("stop", [3, 5, 9, 12])
def test_a_stopped_training_ends_as_an_uninterrupted_one(tmp_path: Path, stop: int) -> None:
    want, want_losses = train(tmp_path / "whole.safetensors")

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "c.safetensors", stop_at("training", stop))
    seen: list[float] = []
    got, losses = train(tmp_path / "c.safetensors", lambda *call: seen.append(call[1]))
    # The checkpoint is written after the progress of the step is reported.
    assert seen[0] == (stop - 1) // 5 * 5 + 1
    assert losses == want_losses
    assert_same(got, want)


def test_a_training_keeps_the_denormal_numbers_of_its_process(tmp_path: Path) -> None:
    train(tmp_path / "c.safetensors")
    assert float(torch.tensor([1e-40]) * 0.5) > 0


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], str(Path(sys.argv[1]).parents[1])]
from test_checkpoint import train
def progress(task, done, total, note):
    if done == 8:
        os.kill(os.getpid(), signal.SIGKILL)
train(Path(sys.argv[2]), progress)
"""


@pytest.mark.long
def test_a_killed_training_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    here = str(Path(__file__).parent)
    ended = subprocess.run([sys.executable, "-c", KILLED, here, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert TrainingCheckpoint(path, {"seed": 0}).steps_done() == 5
    got, losses = train(path)
    want, want_losses = train(tmp_path / "whole.safetensors")
    assert losses == want_losses
    assert_same(got, want)


def test_history_and_random_state_are_restored(tmp_path: Path) -> None:
    model = Towers()
    optimizer = torch.optim.AdamW(model.parameters())
    history = TrainingHistory([2.0, 1.5], [ValidationScore(2, {"R@1": 0.5, "R@5": 0.75}, 4)], 1.5)
    checkpoint = TrainingCheckpoint(tmp_path / "c.safetensors")
    assert checkpoint.steps_done() == 0
    begun = TrainingHistory([3.0])
    checkpoint.restore(model, optimizer, begun)
    assert begun == TrainingHistory([3.0])
    checkpoint.save(model, optimizer, history)
    drawn = torch.rand(4)
    checkpoint.restore(model, optimizer, begun)
    assert begun == history
    assert torch.equal(torch.rand(4), drawn)
    assert checkpoint.steps_done() == 2
    assert [path.name for path in tmp_path.iterdir()] == ["c.safetensors"]


def test_a_checkpoint_of_another_run_fails(tmp_path: Path) -> None:
    train(tmp_path / "c.safetensors")
    other = TrainingCheckpoint(tmp_path / "c.safetensors", {"seed": 1})
    with pytest.raises(WeightsFormatError, match=r"seed 0 \(now 1\)"):
        other.steps_done()


def test_a_checkpoint_of_another_model_fails(tmp_path: Path) -> None:
    train(tmp_path / "c.safetensors")
    model = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    with pytest.raises(WeightsFormatError, match="does not fit the model: Missing key"):
        TrainingCheckpoint(tmp_path / "c.safetensors", {"seed": 0}).restore(
            model, optimizer, TrainingHistory()
        )


def test_fault_18_a_damaged_checkpoint_fails(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    train(path)
    weights = load_file(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(WeightsFormatError, match="not a valid safetensors file"):
        TrainingCheckpoint(path, {"seed": 0}).steps_done()
    save_file(weights, path)
    with pytest.raises(WeightsFormatError, match="not a training checkpoint"):
        TrainingCheckpoint(path, {"seed": 0}).steps_done()
    save_file(weights, path, {"version": "9", "run": "{}", "history": "{}"})
    with pytest.raises(WeightsFormatError, match="has version 9, this release reads 2"):
        TrainingCheckpoint(path, {"seed": 0}).steps_done()


def test_fault_07_a_missing_folder_of_a_checkpoint_fails(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        train(tmp_path / "nowhere" / "c.safetensors")
