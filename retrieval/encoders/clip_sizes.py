"""Architecture and preprocessing of the bundled image-text model, as open_clip configures them."""

from __future__ import annotations

from typing import Any, Final

SIDE_PIXELS: Final = 64
"""Side of the square input pictures."""

MEAN, DEVIATION = 0.5, 0.25
"""Normalization of every channel."""

CONTEXT_LENGTH: Final = 48
VOCABULARY: Final = 1_200

TINY_CLIP: Final[dict[str, Any]] = {
    "embed_dim": 256,
    "vision_cfg": {
        "image_size": SIDE_PIXELS,
        "layers": [2, 2, 2, 1],  # A list makes it a ResNet, whose convolutions find small shapes.
        "width": 32,
        "head_width": 64,
    },
    "text_cfg": {
        "context_length": CONTEXT_LENGTH,
        "vocab_size": VOCABULARY,
        "hf_tokenizer_name": "bundled",  # Ignored: the tokenizer is in the folder of the weights.
        "width": 192,
        "heads": 3,
        "layers": 4,
        "pool_type": "eos",
        "pad_id": 0,
        "eos_id": 2,
    },
}
TINY_CLIP_PREPROCESSING: Final[dict[str, Any]] = {
    "size": SIDE_PIXELS,
    "mean": [MEAN] * 3,
    "std": [DEVIATION] * 3,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
