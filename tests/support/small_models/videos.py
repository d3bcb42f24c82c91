"""Small models of video clips and text by transformers: X-CLIP and PE-AV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.small_models.texts import attend, clip_tokenizer_of_bytes, tokenizer_of_bytes


def save_x_clip(folder: Path) -> Path:
    """Save an X-CLIP of 8 frames as transformers does, with CLIP's byte tokenizer."""
    import torch
    from transformers import VideoMAEImageProcessor, XCLIPConfig, XCLIPModel

    tokenizer = clip_tokenizer_of_bytes()
    words = len(tokenizer)
    text = {
        "vocab_size": words,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 40,
        "bos_token_id": words - 2,
        "eos_token_id": words - 1,
        "pad_token_id": words - 1,
    }
    vision = {
        "image_size": 32,
        "patch_size": 16,
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "mit_hidden_size": 24,
        "mit_intermediate_size": 48,
        "mit_num_attention_heads": 2,
    }
    config = XCLIPConfig(
        text_config=text, vision_config=vision, projection_dim=24, prompt_num_attention_heads=2
    )
    torch.manual_seed(0)
    model = XCLIPModel(config)
    attend(model.text_model, "self_attn")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    sides = {"height": 32, "width": 32}
    VideoMAEImageProcessor(size={"shortest_edge": 32}, crop_size=sides).save_pretrained(folder)
    return folder


def make_pe_av() -> Any:
    """Build a PE-AV with small towers."""
    import torch
    from transformers import PeAudioVideoConfig, PeAudioVideoModel

    size = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "head_dim": 16,
    }
    text = {
        "model_type": "modernbert",
        "vocab_size": len(tokenizer_of_bytes()),
        "hidden_size": 24,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "cls_token_id": 0,
        "eos_token_id": 2,
        "sep_token_id": 2,
    }
    vision = {
        "model_type": "timm_wrapper",
        "architecture": "vit_pe_core_tiny_patch16_384",
        "model_args": {"img_size": 32, "depth": 1},
        "num_classes": 16,
        "global_pool": "map",
    }
    codec = {
        "model_type": "dac",
        "encoder_hidden_size": 4,
        "downsampling_ratios": [2, 4],
        "codebook_dim": 8,
        "hop_length": 8,
        "hidden_size": 16,
        "n_codebooks": 1,
        "decoder_hidden_size": 16,
        "upsampling_ratios": [4, 2],
    }
    config = PeAudioVideoConfig(
        text_config=text,
        audio_video_config={
            **size,
            "audio_config": {"model_type": "pe_audio_encoder", **size, "dac_config": codec},
            "video_config": {"model_type": "pe_video_encoder", **size, "vision_config": vision},
        },
    )
    torch.manual_seed(0)
    model = PeAudioVideoModel(config)
    attend(model.text_model, "attn")
    return model.eval()


def pe_av_video_processor() -> Any:
    """Return the preprocessing of 16 frames of 32 × 32."""
    from transformers import PeVideoVideoProcessor

    return PeVideoVideoProcessor(
        size={"height": 32, "width": 32},
        do_resize=True,
        do_rescale=True,
        do_normalize=True,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        num_frames=16,
    )


def save_pe_av(folder: Path, model: Any) -> Path:
    """Save a PE-AV of 16 frames as transformers does."""
    model.save_pretrained(folder)
    tokenizer_of_bytes().save_pretrained(folder)
    pe_av_video_processor().save_pretrained(folder)
    return folder
