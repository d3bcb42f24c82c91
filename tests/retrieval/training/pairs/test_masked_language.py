import itertools

import pytest
import torch

from retrieval.encoders.towers import Mulan, MulanConfig, TransformerSize
from retrieval.training.pairs.contrastive import TrainingSettings, train_contrastive
from retrieval.training.pairs.masked_language import (
    MaskedLanguageHead,
    WithMaskedLanguage,
    mask_tokens,
)
from retrieval.training.pairs.tokenizer import END, PAD, START

VOCABULARY = 24
CONFIG = MulanConfig(
    dim=16,
    sample_rate_hz=8_000,
    window_seconds=1.0,
    mel_bands=16,
    stft_samples=256,
    hop_samples=250,
    patch_bands=8,
    patch_frames=8,
    audio=TransformerSize(16, 2, 1),
    text=TransformerSize(32, 2, 2),
    vocabulary=VOCABULARY,
    context_length=10,
)


def sentences(count: int) -> torch.Tensor:
    """Each word determines the next one, so a masked word follows from its neighbours."""
    first = torch.randint(3, VOCABULARY, (count, 1), generator=torch.Generator().manual_seed(0))
    words = 3 + (first - 3 + torch.arange(7)) % (VOCABULARY - 3)
    edges = torch.full((count, 1), START), torch.full((count, 1), END)
    return torch.cat([edges[0], words, edges[1], torch.full((count, 1), PAD)], dim=1)


def test_about_one_token_in_seven_is_chosen_and_most_of_them_masked() -> None:
    torch.manual_seed(0)
    tokens = sentences(4_000)
    inputs, chosen, masked = mask_tokens(tokens, VOCABULARY)
    words = tokens > END
    assert not (chosen & ~words).any()
    assert (chosen.sum() / words.sum()).item() == pytest.approx(0.15, abs=0.01)
    assert (masked.sum() / chosen.sum()).item() == pytest.approx(0.8, abs=0.02)
    assert not (masked & ~chosen).any()
    replaced = inputs != tokens
    assert not (replaced & (masked | ~chosen)).any()
    # A replacement may be the same word: 0.1 × 20 / 21.
    assert (replaced.sum() / chosen.sum()).item() == pytest.approx(0.095, abs=0.015)


def test_a_text_without_words_has_no_loss() -> None:
    tower = Mulan(CONFIG).text
    loss = MaskedLanguageHead(tower)(tower, torch.tensor([[START, END, PAD]]))
    assert loss.item() == 0
    loss.backward()


def test_masked_words_are_predicted_from_their_neighbours() -> None:
    torch.manual_seed(0)
    tower = Mulan(CONFIG).text
    head = MaskedLanguageHead(tower)
    optimizer = torch.optim.AdamW([*tower.parameters(), *head.parameters()], lr=3e-3)
    losses = []
    for _ in range(150):
        loss = head(tower, sentences(64))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(torch.tensor(VOCABULARY).log().item(), abs=0.7)
    assert sum(losses[-10:]) / 10 < 0.5 * losses[0]


def test_training_with_the_head_keeps_the_tensors_of_the_model() -> None:
    torch.manual_seed(0)
    model = Mulan(CONFIG)
    keys = set(model.state_dict())
    both = WithMaskedLanguage(model, model.text, weight=0.5)
    before = both.head.bias.clone(), model.audio.project.weight.clone()
    pictures = torch.randn(12, 16, 32)
    batches = itertools.repeat((pictures, sentences(12)))
    settings = TrainingSettings(3, warmup_steps=1, part_pairs=5, bf16=False)
    train_contrastive(both, lambda first: batches, settings, auxiliary=both.auxiliary)
    assert set(model.state_dict()) == keys
    assert not torch.equal(both.head.bias, before[0])
    assert not torch.equal(model.audio.project.weight, before[1])


def test_the_auxiliary_loss_is_weighted() -> None:
    model = Mulan(CONFIG)
    both = WithMaskedLanguage(model, model.text, weight=0.5)
    torch.manual_seed(1)
    loss = both.auxiliary(sentences(8))
    torch.manual_seed(1)
    assert loss.item() == pytest.approx(0.5 * both.head(model.text, sentences(8)).item())
