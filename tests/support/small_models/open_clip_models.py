"""Small models of open_clip: CLIP, PE-Core and SigLIP2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.small_models.texts import attend, tokenizer_of_bytes

SMALL_CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 64, "layers": 2},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
SMALL_TEXT = {"width": 64, "heads": 2, "layers": 2, "context_length": 32}

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
SQUASH = {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"}


def pe_core_config() -> dict[str, Any]:
    """Return PE-Core with its smallest image tower and a shorter text tower."""
    import open_clip

    config: dict[str, Any] = open_clip.get_model_config("PE-Core-T-16-384")
    config["text_cfg"] |= SMALL_TEXT
    return config


def siglip2_config(vocabulary: int, tokenizer: str = "beside") -> dict[str, Any]:
    """Return SigLIP2 with a tiny image tower, pooled by attention, and a small text tower."""
    import open_clip

    config: dict[str, Any] = open_clip.get_model_config("ViT-B-32-SigLIP2-256")
    config["embed_dim"] = 192
    config["vision_cfg"] |= {"timm_model_name": "vit_tiny_patch16_224", "image_size": 224}
    config["text_cfg"] |= SMALL_TEXT | {"vocab_size": vocabulary, "hf_tokenizer_name": tokenizer}
    return config


def save_open_clip(
    folder: Path,
    config: dict[str, Any],
    tokenizer: Any = None,
    preprocessing: dict[str, Any] | None = None,
) -> Path:
    """Build an open_clip model with random weights and save it as a folder."""
    import open_clip
    import torch

    folder.mkdir(parents=True)
    content = {"model_cfg": config, "preprocess_cfg": preprocessing or SQUASH}
    (folder / CONFIG).write_text(json.dumps(content))
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    if hasattr(model, "text"):
        attend(model.text, "attn", 20.0)
        attend(model.text)  # the name in text towers of transformers
    return save_weights(model, folder)


def save_weights(model: Any, folder: Path) -> Path:
    """Save an open_clip model's tensors where open_clip looks for them."""
    from safetensors.torch import save_file

    save_file(
        {name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS
    )
    return folder


def save_small_clip(folder: Path) -> Path:
    """Save a small CLIP in open_clip's format, with open_clip's own tokenizer."""
    preprocessing = {
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.3, 0.4],
        "interpolation": "bilinear",
        "resize_mode": "longest",
        "fill_color": 7,
    }
    return save_open_clip(folder, SMALL_CLIP, preprocessing=preprocessing)


def save_small_siglip2(folder: Path) -> Path:
    """Save SigLIP2 with a byte tokenizer."""
    tokenizer = tokenizer_of_bytes()
    return save_open_clip(folder, siglip2_config(len(tokenizer)), tokenizer)
