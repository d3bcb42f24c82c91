"""Configuration of MuLan models (2208.12415), and the named sizes that can be trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from retrieval.encoders.log_mel import LogMel


@dataclass(frozen=True, slots=True)
class TransformerSize:
    """Width, heads and layers of one transformer."""

    width: int
    heads: int
    layers: int


@dataclass(frozen=True, slots=True)
class ResNetSize:
    """Size of a ResNet (1512.03385).

    Attributes:
        width: Channels of the first stage; each stage doubles them.
        blocks: Residual blocks per stage.
        bottleneck: Use blocks of 1×1, 3×3, 1×1 convolutions, as in ResNet-50, not of two 3×3.
    """

    width: int
    blocks: tuple[int, ...]
    bottleneck: bool


@dataclass(frozen=True, slots=True)
class MulanConfig:
    """Sizes of a MuLan (2208.12415); the fields of config.json.

    Attributes:
        audio: A transformer over patches (AST) or a ResNet over the whole spectrogram.
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
        has_patches = isinstance(self.audio, TransformerSize)
        if any((size is not None) != has_patches for size in (self.patch_bands, self.patch_frames)):
            raise ValueError("patch_bands and patch_frames go with an audio transformer only")

    @property
    def window_samples(self) -> int:
        """Samples of one window."""
        return round(self.window_seconds * self.sample_rate_hz)

    @property
    def window_frames(self) -> int:
        """Frames of one window's log-mel spectrogram."""
        return self.window_samples // self.hop_samples

    def log_mel(self) -> LogMel:
        """Build the module that computes the spectrograms of windows."""
        return LogMel(self.sample_rate_hz, self.mel_bands, self.stft_samples, self.hop_samples)


_BERT: Final = TransformerSize(width=768, heads=12, layers=12)  # 1810.04805, base

TINY: Final = MulanConfig(
    dim=128,
    sample_rate_hz=16_000,
    window_seconds=10.0,
    mel_bands=96,
    stft_samples=1_024,
    hop_samples=320,
    patch_bands=32,
    patch_frames=20,
    audio=TransformerSize(width=192, heads=3, layers=4),
    text=TransformerSize(width=128, heads=2, layers=3),
    vocabulary=1_200,
    context_length=64,
)
"""Size of the bundled model."""

MULAN_AST: Final = MulanConfig(
    dim=128,
    sample_rate_hz=16_000,
    window_seconds=10.0,
    mel_bands=128,
    stft_samples=400,
    hop_samples=160,
    patch_bands=16,
    patch_frames=16,
    audio=TransformerSize(width=768, heads=12, layers=12),  # 2104.01778, without overlap
    text=_BERT,
    vocabulary=30_522,
    context_length=512,
)

MULAN_RESNET: Final = MulanConfig(
    dim=128,
    sample_rate_hz=16_000,
    window_seconds=10.0,
    mel_bands=64,
    stft_samples=400,
    hop_samples=160,
    audio=ResNetSize(width=64, blocks=(3, 4, 6, 3), bottleneck=True),  # ResNet-50
    text=_BERT,
    vocabulary=30_522,
    context_length=512,
)

MULAN_SIZES: Final = {"tiny": TINY, "mulan-ast": MULAN_AST, "mulan-resnet": MULAN_RESNET}
"""Sizes by the names that users type."""
