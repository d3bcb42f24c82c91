"""A masked language model beside the contrastive loss: BERT's first task (1810.04805).

The text tower learns its language from the captions themselves; the head that guesses the hidden
tokens is thrown away after training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.encoders.towers import TextTower
from retrieval.training.pairs.tokenizer import END

CHOSEN, HIDDEN, SWAPPED = 0.15, 0.8, 0.1
"""Share of the tokens to guess; shares of these that are hidden and that another one replaces."""


class MaskedLanguageHead(nn.Module):
    """Guesses hidden tokens from what the text tower makes of the others."""

    def __init__(self, tower: TextTower) -> None:
        super().__init__()
        vocabulary, width = tower.embed.weight.shape
        self.mask = nn.Parameter(torch.randn(width) * 0.02)
        self.transform = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, tower: TextTower, tokens: Tensor) -> Tensor:
        """Hide some of (n, length) int64 tokens; the mean cross-entropy of guessing them.

        The output shares the tower's embedding, as in BERT.
        """
        given, chosen, hidden = hide_tokens(tokens, len(self.bias))
        if not chosen.any():
            return self.bias.sum() * 0.0
        rows = torch.where(hidden[..., None], self.mask, tower.embed(given))
        rows = tower.contextualize(rows, tower.token_mask(tokens))
        guesses = self.transform(rows[chosen]) @ tower.embed.weight.T + self.bias
        return functional.cross_entropy(guesses.float(), tokens[chosen])


def hide_tokens(tokens: Tensor, vocabulary: int) -> tuple[Tensor, Tensor, Tensor]:
    """Choose tokens to guess, none of them padding, start or end.

    Returns:
        The tokens with some of the chosen ones swapped for any other, which tokens are chosen, and
        which of these are to be hidden; (n, length) each. The rest of the chosen stays in sight.
    """
    chosen = (torch.rand(tokens.shape, device=tokens.device) < CHOSEN) & (tokens > END)
    fate = torch.rand(tokens.shape, device=tokens.device)
    swapped = chosen & (fate >= HIDDEN) & (fate < HIDDEN + SWAPPED)
    others = torch.randint_like(tokens, END + 1, vocabulary)
    return torch.where(swapped, others, tokens), chosen, chosen & (fate < HIDDEN)


class WithMaskedLanguage(nn.Module):
    """A model for `train_contrastive`, and the head that is trained beside it.

    Args:
        model: As the trainer takes it.
        tower: Its text tower.
        weight: Of the head's loss beside the contrastive one.
    """

    def __init__(self, model: nn.Module, tower: TextTower, weight: float) -> None:
        super().__init__()
        self.model = model
        self.tower = tower
        self.head = MaskedLanguageHead(tower).to(tower.embed.weight.device)
        self._weight = weight

    @property
    def logit_scale(self) -> Tensor:
        """Logarithm of the temperature's inverse."""
        return self.model.logit_scale  # type: ignore[return-value]

    def forward(self, media: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As the model alone."""
        vectors: tuple[Tensor, Tensor, Tensor] = self.model(media, tokens)
        return vectors

    def auxiliary(self, tokens: Tensor) -> Tensor:
        """What the trainer adds to its loss."""
        loss: Tensor = self.head(self.tower, tokens)
        return self._weight * loss
