"""A masked language model as an auxiliary loss of the text tower: BERT's first task (1810.04805).

The text tower learns the language of the captions. The head that predicts masked tokens is
discarded after training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.encoders.towers import TextTower
from retrieval.training.pairs.tokenizer import END

CHOSEN, MASKED, REPLACED = 0.15, 0.8, 0.1
"""Share of the tokens to predict; shares of these that are masked, and that are replaced."""


class MaskedLanguageHead(nn.Module):
    """Predicts tokens from the text tower's contextual rows."""

    def __init__(self, tower: TextTower) -> None:
        super().__init__()
        vocabulary, width = tower.embed.weight.shape
        self.mask = nn.Parameter(torch.randn(width) * 0.02)
        self.transform = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, tower: TextTower, tokens: Tensor) -> Tensor:
        """Mask some of (n, length) int64 tokens; return the mean cross-entropy of predicting them.

        The output layer shares the tower's embedding, as in BERT.
        """
        inputs, chosen, masked = mask_tokens(tokens, len(self.bias))
        if not chosen.any():
            return self.bias.sum() * 0.0
        rows = torch.where(masked[..., None], self.mask, tower.embed(inputs))
        rows = tower.contextualize(rows, tower.token_mask(tokens))
        logits = self.transform(rows[chosen]) @ tower.embed.weight.T + self.bias
        return functional.cross_entropy(logits.float(), tokens[chosen])


def mask_tokens(tokens: Tensor, vocabulary: int) -> tuple[Tensor, Tensor, Tensor]:
    """Choose tokens to predict among those that are not padding, start or end.

    Returns:
        (n, length) each: the tokens with some of the chosen ones replaced by random tokens, which
        tokens are chosen, and which of these are masked. The remaining chosen tokens stay visible.
    """
    chosen = (torch.rand(tokens.shape, device=tokens.device) < CHOSEN) & (tokens > END)
    draw = torch.rand(tokens.shape, device=tokens.device)
    replaced = chosen & (draw >= MASKED) & (draw < MASKED + REPLACED)
    others = torch.randint_like(tokens, END + 1, vocabulary)
    return torch.where(replaced, others, tokens), chosen, chosen & (draw < MASKED)


class WithMaskedLanguage(nn.Module):
    """A model for `train_contrastive` with a masked language head.

    Args:
        model: As `train_contrastive` takes it.
        tower: The text tower of the model.
        weight: Weight of the head's loss relative to the contrastive one.
    """

    def __init__(self, model: nn.Module, tower: TextTower, weight: float) -> None:
        super().__init__()
        self.model = model
        self.tower = tower
        self.head = MaskedLanguageHead(tower).to(tower.embed.weight.device)
        self._weight = weight

    @property
    def logit_scale(self) -> Tensor:
        """Logarithm of the inverse temperature."""
        return self.model.logit_scale  # type: ignore[return-value]

    def forward(self, media: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Call the model without the head."""
        vectors: tuple[Tensor, Tensor, Tensor] = self.model(media, tokens)
        return vectors

    def auxiliary(self, tokens: Tensor) -> Tensor:
        """Compute the weighted loss of the head, as `train_contrastive` takes it."""
        loss: Tensor = self.head(self.tower, tokens)
        return self._weight * loss
