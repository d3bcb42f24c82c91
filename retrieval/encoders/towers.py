"""The towers of a MuLan: over the log-mel picture a transformer or a ResNet, over text a BERT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.encoders.log_mel import LogMel

if TYPE_CHECKING:
    from retrieval.encoders.resnet import ResNetTower


@dataclass(frozen=True, slots=True)
class TransformerSize:
    """Width, heads and layers of one transformer."""

    width: int
    heads: int
    layers: int


@dataclass(frozen=True, slots=True)
class ResNetSize:
    """Shape of a ResNet (1512.03385).

    Attributes:
        width: Channels of the first stage; each stage doubles them.
        blocks: Blocks of each stage.
        bottleneck: Blocks of 1×1, 3×3, 1×1 convolutions, as in ResNet-50; else two of 3×3.
    """

    width: int
    blocks: tuple[int, ...]
    bottleneck: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple(self.blocks))  # JSON has lists only


@dataclass(frozen=True, slots=True)
class MulanConfig:
    """Sizes of a MuLan (2208.12415); what config.json holds.

    Attributes:
        audio: A transformer over patches (AST) or a ResNet over the whole picture.
        patch_bands: Height of an AST's spectrogram patch in mel bands; None for a ResNet.
        patch_frames: Width of a patch in frames; None for a ResNet.
    """

    dim: int
    sample_rate_hz: int
    window_seconds: float
    mel_bands: int
    stft_samples: int
    hop_samples: int
    audio: TransformerSize | ResNetSize
    text: TransformerSize
    vocabulary: int
    context_length: int
    patch_bands: int | None = None
    patch_frames: int | None = None

    def __post_init__(self) -> None:
        given = [size is not None for size in (self.patch_bands, self.patch_frames)]
        if given != [isinstance(self.audio, TransformerSize)] * 2:
            raise ValueError("patch_bands and patch_frames go with a transformer over sound, only")

    @property
    def window_samples(self) -> int:
        """Samples of one window."""
        return round(self.window_seconds * self.sample_rate_hz)

    @property
    def window_frames(self) -> int:
        """Frames of one window's log-mel picture."""
        return self.window_samples // self.hop_samples

    def log_mel(self) -> LogMel:
        """What turns windows into pictures."""
        return LogMel(self.sample_rate_hz, self.mel_bands, self.stft_samples, self.hop_samples)


class AudioTower(nn.Module):
    """AST (2104.01778): a transformer over patches of the log-mel picture, mean-pooled."""

    def __init__(self, config: MulanConfig) -> None:
        super().__init__()
        size = config.audio
        assert isinstance(size, TransformerSize)  # `audio_tower` tells them apart
        assert config.patch_bands is not None and config.patch_frames is not None  # noqa: PT018
        self.log_mel = config.log_mel()
        patch = (config.patch_bands, config.patch_frames)
        self.patches = nn.Conv2d(1, size.width, patch, stride=patch)
        rows, columns = config.mel_bands // patch[0], config.window_frames // patch[1]
        self.positions = nn.Parameter(torch.randn(rows * columns, size.width) * 0.02)
        self.blocks = transformer(size)
        self.project = nn.Linear(size.width, config.dim, bias=False)

    def forward(self, windows: Tensor) -> Tensor:
        """(n, window_samples) float32 → (n, dim) of unit length."""
        return self.read(self.log_mel(windows))

    def read(self, pictures: Tensor) -> Tensor:
        """(n, mel_bands, frames) log-mel pictures → (n, dim) of unit length."""
        tokens = self.patches(pictures[:, None]).flatten(2).transpose(1, 2)
        pooled = self.blocks(tokens + self.positions).mean(dim=1)
        return functional.normalize(self.project(pooled), dim=-1)


class TextTower(nn.Module):
    """A BERT-like transformer (1810.04805) over tokens, mean-pooled over the real ones."""

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
        """(n, tokens) int64, padded at the end → (n, dim) of unit length."""
        real = self.real(tokens)
        rows = self.contextual(self.embed(tokens), real)
        weights = real[..., None].to(rows.dtype)
        pooled = (rows * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1)
        return functional.normalize(self.project(pooled), dim=-1)

    def real(self, tokens: Tensor) -> Tensor:
        """(n, tokens) bool, False where padding is."""
        return tokens != self._pad

    def contextual(self, rows: Tensor, real: Tensor) -> Tensor:
        """(n, tokens, width) embedded tokens → what each is among the others, same shape."""
        rows = rows + self.positions[: rows.shape[1]]
        blocks: Tensor = self.blocks(rows, src_key_padding_mask=~real)
        return blocks


class Mulan(nn.Module):
    """Both towers and the temperature of their contrastive loss."""

    def __init__(self, config: MulanConfig) -> None:
        super().__init__()
        self.audio = audio_tower(config)
        self.text = TextTower(config)
        self.logit_scale = nn.Parameter(torch.tensor(2.66))  # ln(1 / 0.07), as in CLIP

    def forward(self, pictures: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-mel pictures and tokens → their unit vectors and the temperature's inverse."""
        return self.audio.read(pictures), self.text(tokens), self.logit_scale.exp()


def audio_tower(config: MulanConfig) -> AudioTower | ResNetTower:
    """The tower over sound that a configuration asks for."""
    if isinstance(config.audio, TransformerSize):
        return AudioTower(config)
    from retrieval.encoders.resnet import ResNetTower  # torchvision takes a second to import

    return ResNetTower(config)


def transformer(size: TransformerSize) -> nn.Module:
    """Pre-norm encoder layers with GELU and a final norm."""
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
