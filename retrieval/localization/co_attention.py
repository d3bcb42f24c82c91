"""Cross-modal transformer layers: a visual and a text stream with self- and cross-attention.

Co-attention follows ViLBERT (1908.02265); HAMMER (2011.09046) applies it to video frames. Attribute
names of modules are keys of the weights file.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Multi-head attention of one sequence over the same or another sequence."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """Attend.

        Args:
            queries: (n, queries, width).
            keys: (n, keys, width).
            mask: (n, keys) bool, False for padding; at least one True per row.

        Returns:
            (n, queries, width).
        """
        key, value = self.key_value(keys).chunk(2, dim=-1)
        attended = functional.scaled_dot_product_attention(
            self._split_heads(self.query(queries)),
            self._split_heads(key),
            self._split_heads(value),
            attn_mask=mask[:, None, None, :],
        )
        joined: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return joined

    def _split_heads(self, rows: Tensor) -> Tensor:
        n, length, _ = rows.shape
        return rows.view(n, length, self._heads, -1).transpose(1, 2)


class StreamLayer(nn.Module):
    """One stream's half of a layer: self-attention, cross-attention, feed-forward network."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.itself = Attention(width, heads)
        self.other = Attention(width, heads)
        self.network = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, own: Tensor, own_mask: Tensor, other: Tensor, other_mask: Tensor) -> Tensor:
        """Update `own` (n, rows, width); the masks are (n, rows) bool."""
        normed = self.norms[0](own)
        own = own + self.itself(normed, normed, own_mask)
        own = own + self.other(self.norms[1](own), self.norms[2](other), other_mask)
        updated: Tensor = own + self.network(self.norms[3](own))
        return updated


class CoAttention(nn.Module):
    """A stack of layers in which a visual and a text stream attend to each other.

    Args:
        width: Width of both streams.
        heads: Heads of each attention.
        layers: Number of layers.
        keep_text: Whether the last layer also updates the text stream.
    """

    def __init__(self, width: int, heads: int, layers: int, *, keep_text: bool) -> None:
        super().__init__()
        self.visual = nn.ModuleList(StreamLayer(width, heads) for _ in range(layers))
        self.text = nn.ModuleList(
            StreamLayer(width, heads) for _ in range(layers - (not keep_text))
        )

    def forward(
        self, visual: Tensor, visual_mask: Tensor, text: Tensor, text_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return both streams after all layers: (n, rows, width) and (n, tokens, width)."""
        for number, layer in enumerate(self.visual):
            updated = layer(visual, visual_mask, text, text_mask)
            if number < len(self.text):
                text = self.text[number](text, text_mask, visual, visual_mask)
            visual = updated
        return visual, text


class TextEncoder(nn.Module):
    """Encodes a query: its sentence vector followed by its tokens, with one transformer layer.

    The sentence vector is the vector of the first stage and carries the knowledge of the space's
    text encoder; the tokens keep the words separate.
    """

    def __init__(self, dim: int, width: int, heads: int, vocabulary: int, context: int) -> None:
        super().__init__()
        self.sentence = nn.Linear(dim, width)
        self.words = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.words.weight, std=0.02)
        self.positions = nn.Parameter(torch.randn(context, width) * 0.02)
        self.layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )

    def forward(self, sentence: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Encode queries.

        Args:
            sentence: (n, dim) unit vectors.
            tokens: (n, tokens) int64, padded with 0.

        Returns:
            (n, 1 + tokens, width), and (n, 1 + tokens) bool, False for padding.
        """
        first = self.sentence(sentence * sentence.shape[-1] ** 0.5)[:, None]
        rows = torch.cat([first, self.words(tokens) + self.positions[: tokens.shape[1]]], dim=1)
        mask = functional.pad(tokens != 0, (1, 0), value=True)
        encoded: Tensor = self.layer(rows, src_key_padding_mask=~mask)
        return encoded, mask
