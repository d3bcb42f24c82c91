import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.training.pairs.contrastive import (
    TrainingSettings,
    contrastive_loss,
    train_contrastive,
)
from retrieval.training.pairs.grad_cache import (
    backward_in_parts,
    split_rows,
)
from retrieval.training.tensors import random_state, set_random_state


class SmallTowers(nn.Module):
    """Two small networks with dropout and, where asked for, batch normalisation."""

    def __init__(self, dropout: float = 0.0, norm: bool = False) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.media = nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16) if norm else nn.Identity(), nn.Dropout(dropout),
            nn.GELU(), nn.Linear(16, 8),
        )  # fmt: skip
        self.text = nn.Sequential(nn.Embedding(20, 8), nn.Dropout(dropout))
        self.logit_scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, media: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return (
            functional.normalize(self.media(media), dim=-1),
            functional.normalize(self.text(tokens).mean(dim=1), dim=-1),
            self.logit_scale.exp(),
        )


MEDIA = torch.randn(10, 6, generator=torch.Generator().manual_seed(0))
TOKENS = torch.randint(20, (10, 4), generator=torch.Generator().manual_seed(1))


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("part_pairs", [1, 3, 5, 9])
def test_gradients_are_those_of_the_large_batch(part_pairs: int) -> None:
    plain, cached = SmallTowers(), SmallTowers()
    loss = contrastive_loss(*plain(MEDIA, TOKENS))
    loss.backward()
    again = backward_in_parts(cached, cached, contrastive_loss, MEDIA, TOKENS, part_pairs)
    assert again.item() == pytest.approx(loss.item(), abs=1e-6)
    assert gradients(cached).keys() == gradients(plain).keys()
    assert "logit_scale" in gradients(cached)
    for name, gradient in gradients(plain).items():
        torch.testing.assert_close(gradients(cached)[name], gradient, rtol=1e-4, atol=1e-6)


def test_independent_small_batches_have_other_gradients() -> None:
    plain, parts = SmallTowers(), SmallTowers()
    contrastive_loss(*plain(MEDIA, TOKENS)).backward()
    for media, tokens in zip(split_rows(MEDIA, 5), split_rows(TOKENS, 5), strict=True):
        (contrastive_loss(*parts(media, tokens)) / 2).backward()
    difference = gradients(parts)["media.0.weight"] - gradients(plain)["media.0.weight"]
    assert difference.abs().max() > 1e-2


def test_dropout_drops_the_same_in_both_passes() -> None:
    """The reference keeps the graph of every part and draws the same numbers in one pass."""
    plain, cached = SmallTowers(dropout=0.5), SmallTowers(dropout=0.5)
    torch.manual_seed(11)
    parts = zip(split_rows(MEDIA, 4), split_rows(TOKENS, 4), strict=True)
    outputs = [plain(*part) for part in parts]
    media, text = (torch.cat([output[side] for output in outputs]) for side in (0, 1))
    contrastive_loss(media, text, outputs[0][2]).backward()
    drawn = torch.rand(1)

    torch.manual_seed(11)
    backward_in_parts(cached, cached, contrastive_loss, MEDIA, TOKENS, 4)
    assert torch.rand(1) == drawn  # what follows is as if there had been one pass
    for name, gradient in gradients(plain).items():
        torch.testing.assert_close(gradients(cached)[name], gradient, rtol=1e-4, atol=1e-6)


def test_batch_statistics_are_counted_once() -> None:
    plain, cached = SmallTowers(norm=True), SmallTowers(norm=True)
    for media, tokens in zip(split_rows(MEDIA, 5), split_rows(TOKENS, 5), strict=True):
        plain(media, tokens)
    backward_in_parts(cached, cached, contrastive_loss, MEDIA, TOKENS, 5)
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(dict(cached.named_buffers())[name], buffer)
    assert cached.media[1].momentum == plain.media[1].momentum


def test_a_frozen_tower_gets_no_gradients() -> None:
    model = SmallTowers()
    model.media.requires_grad_(False)
    backward_in_parts(model, model, contrastive_loss, MEDIA, TOKENS, 4)
    assert set(gradients(model)) == {"text.0.weight", "logit_scale"}


def test_training_in_parts_equals_training_at_once() -> None:
    weights = []
    for part_pairs in (None, 4):
        model = SmallTowers()
        settings = TrainingSettings(
            8, learning_rate=0.01, warmup_steps=2, bf16=False, part_pairs=part_pairs
        )
        train_contrastive(model, lambda first: iter([(MEDIA, TOKENS)] * 8), settings)
        weights.append(model.state_dict())
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-3, atol=1e-4)


def test_mixed_precision_goes_with_parts() -> None:
    model = SmallTowers()
    settings = TrainingSettings(30, learning_rate=0.05, warmup_steps=2, part_pairs=3)
    losses = train_contrastive(model, lambda first: iter([(MEDIA, TOKENS)] * 30), settings)
    assert losses[-1] < 0.5 * losses[0]


def test_random_state_is_restored() -> None:
    state = random_state(torch.device("cpu"))
    first = torch.rand(3)
    set_random_state(state, torch.device("cpu"))
    assert torch.equal(torch.rand(3), first)
