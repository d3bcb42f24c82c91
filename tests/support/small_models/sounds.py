"""Small models of audio and text: CLAP and MuLan."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from support.small_models.texts import attend, tokenizer_of_bytes


def save_clap(folder: Path, *, fusion: bool = True) -> Path:
    """Save a small CLAP as transformers does, with a byte tokenizer.

    LAION's general checkpoints have no fusion; their extractor crops long sound at random.
    """
    import torch
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    tokenizer = tokenizer_of_bytes()
    config = ClapConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "max_position_embeddings": 64,
            "pad_token_id": 1,
            "bos_token_id": 0,
            "eos_token_id": 2,
        },
        audio_config={
            "patch_embeds_hidden_size": 16,
            "hidden_size": 128,
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 1, 2, 2],
            "enable_fusion": True,
            "num_classes": 2,
        },
        projection_dim=24,
    )
    if not fusion:
        config.audio_config.enable_fusion = False
    torch.manual_seed(0)
    model = ClapModel(config)
    attend(model.text_model.encoder)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    truncation = "fusion" if fusion else "rand_trunc"
    ClapFeatureExtractor(truncation=truncation).save_pretrained(folder)
    return folder


def save_mulan(folder: Path) -> Path:
    """Save a small MuLan in this repository's format."""
    import torch
    from safetensors.torch import save_file

    from retrieval.encoders.mulan_sizes import MulanConfig, TransformerSize
    from retrieval.encoders.towers import Mulan

    folder.mkdir()
    tokenizer = tokenizer_of_bytes()
    tower = TransformerSize(width=32, heads=2, layers=1)
    config = MulanConfig(
        dim=16,
        sample_rate_hz=16_000,
        window_seconds=10.0,
        mel_bands=32,
        stft_samples=1_024,
        hop_samples=800,
        patch_bands=16,
        patch_frames=10,
        audio=tower,
        text=tower,
        vocabulary=len(tokenizer),
        context_length=48,
    )
    (folder / "config.json").write_text(json.dumps(asdict(config)))
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    model = Mulan(config)
    attend(model.text, "embed", 50.0)
    save_file(model.state_dict(), folder / "model.safetensors")
    return folder
