import itertools
import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from retrieval.training.loop import TrainingRun
from retrieval.training.pairs.contrastive import (
    TrainingSettings,
    contrastive_loss,
    train_contrastive,
)


class TwoTables(nn.Module):
    """Two towers that look a vector up: media and tokens are row numbers."""

    def __init__(self, rows: int = 8, dim: int = 8, log_scale: float = 2.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.media = nn.Parameter(torch.randn(rows, dim, generator=generator))
        self.text = nn.Parameter(torch.randn(rows, dim, generator=generator))
        self.unused_matrix = nn.Parameter(torch.ones(2, 2))
        self.unused_bias = nn.Parameter(torch.ones(2))
        self.logit_scale = nn.Parameter(torch.tensor(log_scale))

    def forward(self, media: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        nothing = 0 * (self.unused_matrix.sum() + self.unused_bias.sum())
        return (
            nn.functional.normalize(self.media[media], dim=-1) + nothing,
            nn.functional.normalize(self.text[tokens], dim=-1),
            self.logit_scale.exp(),
        )


def all_rows(first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    return itertools.repeat((torch.arange(8), torch.arange(8)))


def test_loss_of_orthogonal_pairs_is_worked_by_hand() -> None:
    vectors = torch.eye(2)
    loss = contrastive_loss(vectors, vectors, torch.tensor(3.0))
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-3.0)))


def test_loss_of_equal_vectors_is_the_log_of_the_batch() -> None:
    vectors = torch.ones(5, 4) / 2
    assert contrastive_loss(vectors, vectors, torch.tensor(9.0)).item() == pytest.approx(
        math.log(5)
    )


def test_loss_counts_both_directions() -> None:
    media, text = torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    # media → text: (log 2 + log 2) / 2; text → media: (log(1 + 1/e) + log(1 + e)) / 2
    e = math.e
    want = (math.log(2) + (math.log(1 + 1 / e) + math.log(1 + e)) / 2) / 2
    assert contrastive_loss(media, text, torch.tensor(1.0)).item() == pytest.approx(want)


@pytest.mark.parametrize("bf16", [False, True])
def test_training_brings_pairs_together(bf16: bool) -> None:
    model = TwoTables()
    steps: list[float] = []
    settings = TrainingSettings(steps=60, learning_rate=0.05, warmup_steps=5, bf16=bf16)
    run = TrainingRun(60, progress=lambda *call: steps.append(call[1]))
    losses = train_contrastive(model, all_rows, settings, run)
    assert len(losses) == 60
    assert losses[-1] < 0.1 < 1.0 < losses[0]
    assert steps == list(range(1, 61))
    assert run.history.losses == losses
    assert not model.training
    media, text, _ = model(torch.arange(8), torch.arange(8))
    assert (media @ text.T).argmax(dim=1).tolist() == list(range(8))


def test_training_is_repeatable() -> None:
    settings = TrainingSettings(steps=5, learning_rate=0.05, warmup_steps=1)
    first, second = (train_contrastive(TwoTables(), all_rows, settings) for _ in range(2))
    assert first == second


def test_scale_stays_at_or_below_a_hundred() -> None:
    model = TwoTables(log_scale=4.6)
    train_contrastive(model, all_rows, TrainingSettings(20, learning_rate=0.5, warmup_steps=1))
    assert model.logit_scale.exp().item() <= 100.001


def test_only_matrices_decay() -> None:
    model = TwoTables()
    settings = TrainingSettings(steps=3, learning_rate=0.1, warmup_steps=0, weight_decay=0.5)
    train_contrastive(model, all_rows, settings)
    # Rates 0.1, 0.075, 0.025: a cosine from the peak to zero in three steps.
    want = (1 - 0.1 * 0.5) * (1 - 0.075 * 0.5) * (1 - 0.025 * 0.5)
    torch.testing.assert_close(model.unused_matrix.data, torch.full((2, 2), want))
    torch.testing.assert_close(model.unused_bias.data, torch.ones(2))


def test_too_few_batches_fail() -> None:
    def batches(first: int) -> Iterator[tuple[Tensor, Tensor]]:
        return itertools.islice(all_rows(), 2)

    with pytest.raises(ValueError, match="ended after 2 of 3 steps"):
        train_contrastive(TwoTables(), batches, TrainingSettings(steps=3))


def test_loss_that_is_not_finite_fails() -> None:
    model = TwoTables(log_scale=math.nan)
    with pytest.raises(ValueError, match="loss is nan after 1 steps"):
        train_contrastive(model, all_rows, TrainingSettings(steps=3))
