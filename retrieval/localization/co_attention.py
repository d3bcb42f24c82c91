"""Cross-modal transformer layers: two streams that look at themselves and at each other.

ViLBERT (1908.02265) is where the co-attention comes from, HAMMER (2011.09046) where video frames
stand in its visual stream.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Multi-head attention of one sequence over another, which may be itself."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, asking: Tensor, asked: Tensor, real: Tensor) -> Tensor:
        """Attend.

        Args:
            asking: (n, queries, width).
            asked: (n, keys, width).
            real: (n, keys) bool, True where a key is no padding; at least one in a row.

        Returns:
            (n, queries, width).
        """
        key, value = self.key_value(asked).chunk(2, dim=-1)
        seen = functional.scaled_dot_product_attention(
            self._split(self.query(asking)),
            self._split(key),
            self._split(value),
            attn_mask=real[:, None, None, :],
        )
        joined: Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return joined

    def _split(self, rows: Tensor) -> Tensor:
        n, length, _ = rows.shape
        return rows.view(n, length, self._heads, -1).transpose(1, 2)


class Stream(nn.Module):
    """One stream's half of a layer: itself, then the other stream, then a small network."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.itself = Attention(width, heads)
        self.other = Attention(width, heads)
        self.network = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, own: Tensor, own_real: Tensor, other: Tensor, other_real: Tensor) -> Tensor:
        """Update `own` (n, rows, width); both `real` are (n, rows) bool."""
        normed = self.norms[0](own)
        own = own + self.itself(normed, normed, own_real)
        own = own + self.other(self.norms[1](own), self.norms[2](other), other_real)
        updated: Tensor = own + self.network(self.norms[3](own))
        return updated


class CoAttention(nn.Module):
    """A stack of layers in which a visual and a text stream read each other.

    Args:
        width: Of both streams.
        heads: Of every attention.
        layers: How many.
        keep_text: Whether the last layer updates the text as well; it need not where nobody
            reads it.
    """

    def __init__(self, width: int, heads: int, layers: int, *, keep_text: bool) -> None:
        super().__init__()
        self.visual = nn.ModuleList(Stream(width, heads) for _ in range(layers))
        self.text = nn.ModuleList(Stream(width, heads) for _ in range(layers - (not keep_text)))

    def forward(
        self, visual: Tensor, visual_real: Tensor, text: Tensor, text_real: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Both streams after every layer: (n, rows, width) and (n, tokens, width)."""
        for number, see in enumerate(self.visual):
            seen = see(visual, visual_real, text, text_real)
            if number < len(self.text):
                text = self.text[number](text, text_real, visual, visual_real)
            visual = seen
        return visual, text


class TextEncoder(nn.Module):
    """The query on its own: its sentence vector in front, its tokens behind, one layer over them.

    The sentence vector is the one that the first stage searched with. It brings what the space's
    text tower has learned of language; the tokens keep the words apart.
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
        """Read queries.

        Args:
            sentence: (n, dim) unit vectors.
            tokens: (n, tokens) int64, padded with 0.

        Returns:
            (n, 1 + tokens, width), and (n, 1 + tokens) bool, True where it is no padding.
        """
        first = self.sentence(sentence * sentence.shape[-1] ** 0.5)[:, None]
        rows = torch.cat([first, self.words(tokens) + self.positions[: tokens.shape[1]]], dim=1)
        real = functional.pad(tokens != 0, (1, 0), value=True)
        read: Tensor = self.layer(rows, src_key_padding_mask=~real)
        return read, real
