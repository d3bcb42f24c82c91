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
from retrieval.training.checkpoint import Checkpoint
from retrieval.training.history import TrainingHistory, ValidationScore
from retrieval.training.pairs.contrastive import TrainingSettings, train_contrastive

SETTINGS = TrainingSettings(12, learning_rate=0.02, warmup_steps=3, part_pairs=3)


class Towers(nn.Module):
    """Two towers with dropout, so that the random numbers count."""

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


def train(path: Path, on_step=None) -> tuple[dict[str, Tensor], list[float]]:
    model = Towers()
    checkpoint = Checkpoint(path, {"seed": 0}, every_steps=5)
    stream = batches(checkpoint.steps_done())
    losses = train_contrastive(model, stream, SETTINGS, on_step, checkpoint=checkpoint)
    return model.state_dict(), losses


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("stop", [3, 5, 9, 12])
def test_a_stopped_training_ends_as_an_unbroken_one(tmp_path: Path, stop: int) -> None:
    want, want_losses = train(tmp_path / "whole.safetensors")

    def on_step(step: int, loss: float) -> None:
        if step == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "c.safetensors", on_step)
    seen: list[int] = []
    got, losses = train(tmp_path / "c.safetensors", lambda step, loss: seen.append(step))
    # A step is written down after the caller has heard of it.
    assert seen[0] == (stop - 1) // 5 * 5 + 1
    assert losses == want_losses
    assert_same(got, want)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_checkpoint import train
def on_step(step, loss):
    if step == 8:
        os.kill(os.getpid(), signal.SIGKILL)
train(Path(sys.argv[2]), on_step)
"""


def test_a_killed_training_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    here = str(Path(__file__).parent)
    ended = subprocess.run([sys.executable, "-c", KILLED, here, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert Checkpoint(path, {"seed": 0}).steps_done() == 5
    got, losses = train(path)
    want, want_losses = train(tmp_path / "whole.safetensors")
    assert losses == want_losses
    assert_same(got, want)


def test_history_and_random_numbers_are_kept(tmp_path: Path) -> None:
    model = Towers()
    optimizer = torch.optim.AdamW(model.parameters())
    history = TrainingHistory([2.0, 1.5], [ValidationScore(2, {"R@1": 0.5, "R@5": 0.75}, 4)], 1.5)
    checkpoint = Checkpoint(tmp_path / "c.safetensors")
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
    other = Checkpoint(tmp_path / "c.safetensors", {"seed": 1})
    with pytest.raises(WeightsFormatError, match=r"seed 0 \(now 1\); repeat that command"):
        other.steps_done()


def test_a_checkpoint_of_another_model_fails(tmp_path: Path) -> None:
    train(tmp_path / "c.safetensors")
    model = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    with pytest.raises(WeightsFormatError, match="does not fit the model: Missing key"):
        Checkpoint(tmp_path / "c.safetensors", {"seed": 0}).restore(
            model, optimizer, TrainingHistory()
        )


def test_fault_18_a_damaged_checkpoint_fails(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    train(path)
    weights = load_file(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(WeightsFormatError, match="not a sound safetensors file"):
        Checkpoint(path, {"seed": 0}).steps_done()
    save_file(weights, path)
    with pytest.raises(WeightsFormatError, match="no checkpoint of a training"):
        Checkpoint(path, {"seed": 0}).steps_done()
    save_file(weights, path, {"version": "9", "run": "{}", "history": "{}"})
    with pytest.raises(WeightsFormatError, match="has version 9, this release reads 2"):
        Checkpoint(path, {"seed": 0}).steps_done()


def test_fault_07_a_folder_that_is_not_there_fails(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        train(tmp_path / "nowhere" / "c.safetensors")
