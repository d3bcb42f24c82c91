"""The two towers of a MuLan model: audio by a transformer or a ResNet, text by a transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.encoders.mulan_sizes import MulanConfig, TransformerSize

if TYPE_CHECKING:
    from retrieval.encoders.resnet import ResNetTower


class AudioTower(nn.Module):
    """AST (2104.01778): a transformer over patches of the log-mel spectrogram, mean-pooled."""

    def __init__(self, config: MulanConfig) -> None:
        super().__init__()
        size = config.audio
        assert isinstance(size, TransformerSize)  # checked by `make_audio_tower`
        assert config.patch_bands is not None and config.patch_frames is not None  # noqa: PT018
        self.log_mel = config.log_mel()
        patch = (config.patch_bands, config.patch_frames)
        self.patches = nn.Conv2d(1, size.width, patch, stride=patch)
        rows, columns = config.mel_bands // patch[0], config.window_frames // patch[1]
        self.positions = nn.Parameter(torch.randn(rows * columns, size.width) * 0.02)
        self.blocks = transformer(size)
        self.project = nn.Linear(size.width, config.dim, bias=False)

    def forward(self, windows: Tensor) -> Tensor:
        """Embed (n, window_samples) float32 windows as (n, dim) unit vectors."""
        return self.embed_spectrograms(self.log_mel(windows))

    def embed_spectrograms(self, spectrograms: Tensor) -> Tensor:
        """Embed (n, mel_bands, frames) log-mel spectrograms as (n, dim) unit vectors."""
        tokens = self.patches(spectrograms[:, None]).flatten(2).transpose(1, 2)
        pooled = self.blocks(tokens + self.positions).mean(dim=1)
        return functional.normalize(self.project(pooled), dim=-1)


class TextTower(nn.Module):
    """A BERT-like transformer (1810.04805) over tokens, mean-pooled without the padding."""

    def __init__(self, config: MulanConfig, *, pad: int = 0) -> None:
        super().__init__()
        size = config.text
        self._pad = pad
        self.embed = nn.Embedding(config.vocabulary, size.width)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.positions = nn.Parameter(torch.randn(config.context_length, size.width) * 0.02)
        self.blocks = transformer(size)
        self.project = nn.Linear(size.width, config.dim, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Embed (n, tokens) int64, padded at the end, as (n, dim) unit vectors."""
        mask = self.token_mask(tokens)
        rows = self.contextualize(self.embed(tokens), mask)
        return functional.normalize(self.project(masked_mean(rows, mask)), dim=-1)

    def token_mask(self, tokens: Tensor) -> Tensor:
        """Return (n, tokens) bool, False for padding."""
        return tokens != self._pad

    def contextualize(self, rows: Tensor, mask: Tensor) -> Tensor:
        """Run the transformer over (n, tokens, width) embedded tokens; the shape stays."""
        rows = rows + self.positions[: rows.shape[1]]
        contextual: Tensor = self.blocks(rows, src_key_padding_mask=~mask)
        return contextual


class Mulan(nn.Module):
    """Both towers and the temperature of their contrastive loss."""

    def __init__(self, config: MulanConfig) -> None:
        super().__init__()
        self.audio = make_audio_tower(config)
        self.text = TextTower(config)
        self.logit_scale = nn.Parameter(torch.tensor(2.66))  # ln(1 / 0.07), as in CLIP

    def forward(self, spectrograms: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embed log-mel spectrograms and tokens; also return the inverse temperature."""
        audio = self.audio.embed_spectrograms(spectrograms)
        return audio, self.text(tokens), self.logit_scale.exp()


def make_audio_tower(config: MulanConfig) -> AudioTower | ResNetTower:
    """Build the audio tower that a configuration describes."""
    if isinstance(config.audio, TransformerSize):
        return AudioTower(config)
    from retrieval.encoders.resnet import ResNetTower  # torchvision takes a second to import

    return ResNetTower(config)


def transformer(size: TransformerSize) -> nn.Module:
    """Build pre-norm encoder layers with GELU and a final norm."""
    layer = nn.TransformerEncoderLayer(
        size.width,
        size.heads,
        4 * size.width,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
    norm = nn.LayerNorm(size.width)
    return nn.TransformerEncoder(layer, size.layers, norm, enable_nested_tensor=False)


def masked_mean(rows: Tensor, mask: Tensor) -> Tensor:
    """Average (n, tokens, width) over the tokens where the (n, tokens) mask is True."""
    weights = mask[..., None].to(rows.dtype)
    return (rows * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1)
