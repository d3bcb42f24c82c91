"""The configurations of MuLan (2208.12415) that `retrieval train mulan --config` names."""

from __future__ import annotations

from typing import Final

from retrieval.encoders.towers import MulanConfig, ResNetSize, TransformerSize

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
"""The bundled model's."""

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
"""By the names that people type."""
