"""Models of every kind, real but small enough to be made, saved and loaded within a test."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

SMALL_CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 64, "layers": 2},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}


def tokenizer_of_bytes() -> Any:
    """Roberta's tokenizer without a single merge."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import RobertaTokenizerFast

    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet())]
    tokenizer = RobertaTokenizerFast(
        vocab={token: number for number, token in enumerate(vocabulary)}, merges=[]
    )
    tokenizer.model_max_length = 60
    return tokenizer


def attend(tower: Any, names: str = "attention", times: float = 40.0) -> None:
    """Sharpen a fresh text tower's attention: it is collapsed, as it attends to a constant."""
    import torch

    with torch.no_grad():
        for name, weight in tower.named_parameters():
            if names in name and weight.ndim == 2:
                weight.mul_(times)


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in open_clip's format: random weights, open_clip's own tokenizer."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("models") / "Small Clip"
    folder.mkdir()
    config = {
        "model_cfg": SMALL_CLIP,
        "preprocess_cfg": {
            "mean": [0.5, 0.4, 0.3],
            "std": [0.2, 0.3, 0.4],
            "interpolation": "bilinear",
            "resize_mode": "longest",
            "fill_color": 7,
        },
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(
        {name: tensor.contiguous() for name, tensor in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    return folder


@pytest.fixture(scope="session")
def small_clap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as transformers saves a CLAP: random weights and a tokenizer of bytes."""
    import torch
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    folder = tmp_path_factory.mktemp("models") / "small-clap"
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
    torch.manual_seed(0)
    model = ClapModel(config)
    attend(model.text_model.encoder)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    ClapFeatureExtractor(truncation="fusion").save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def small_clap_general(small_clap: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As LAION's general checkpoints: no fusion, and long sound would be cropped at random."""
    import shutil

    from transformers import ClapFeatureExtractor

    folder = Path(shutil.copytree(small_clap, tmp_path_factory.mktemp("models") / "small-general"))
    config = json.loads((folder / "config.json").read_text())
    config["audio_config"]["enable_fusion"] = False
    (folder / "config.json").write_text(json.dumps(config))
    ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def small_mulan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as this repository's trainer writes it."""
    import torch
    from safetensors.torch import save_file

    from retrieval.encoders.towers import Mulan, MulanConfig, TransformerSize

    folder = tmp_path_factory.mktemp("models") / "small-mulan"
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


def save_open_clip(folder: Path, config: dict[str, Any], tokenizer: Any = None) -> Path:
    """Build an open_clip model with random weights and save it as a folder."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    preprocessing = {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocessing})
    )
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    attend(model.text, "attn", 20.0)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return folder


SMALL_TEXT = {"width": 64, "heads": 2, "layers": 2, "context_length": 32}


@pytest.fixture(scope="session")
def small_pe_core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PE-Core by its smallest image tower, with a shorter text tower."""
    import open_clip

    config = open_clip.get_model_config("PE-Core-T-16-384")
    config["text_cfg"] |= SMALL_TEXT
    return save_open_clip(tmp_path_factory.mktemp("models") / "small-pe-core", config)


@pytest.fixture(scope="session")
def small_siglip2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SigLIP2 by a tiny image tower, pooled by attention as its own, and a text tower of bytes."""
    import open_clip

    tokenizer = tokenizer_of_bytes()
    config = open_clip.get_model_config("ViT-B-32-SigLIP2-256")
    config["embed_dim"] = 192
    config["vision_cfg"] |= {"timm_model_name": "vit_tiny_patch16_224", "image_size": 224}
    config["text_cfg"] |= SMALL_TEXT | {"vocab_size": len(tokenizer), "hf_tokenizer_name": "beside"}
    return save_open_clip(tmp_path_factory.mktemp("models") / "small-siglip2", config, tokenizer)


@pytest.fixture(scope="session")
def small_x_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as transformers saves an X-CLIP of 8 frames, with CLIP's tokenizer of bytes."""
    import torch
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizerFast, VideoMAEImageProcessor, XCLIPConfig, XCLIPModel

    folder = tmp_path_factory.mktemp("models") / "small-x-clip"
    alphabet = sorted(ByteLevel.alphabet())
    words = [*alphabet, *(f"{letter}</w>" for letter in alphabet)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizerFast(vocab={word: n for n, word in enumerate(words)}, merges=[])
    text = {
        "vocab_size": len(words),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 40,
        "bos_token_id": len(words) - 2,
        "eos_token_id": len(words) - 1,
        "pad_token_id": len(words) - 1,
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


@pytest.fixture(scope="session")
def pe_av_model() -> Any:
    """A whole PE-AV in memory, with every tower small."""
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


@pytest.fixture(scope="session")
def small_pe_av(pe_av_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as transformers saves a PE-AV of 16 frames."""
    from transformers import PeVideoVideoProcessor

    folder = tmp_path_factory.mktemp("models") / "small-pe-av"
    pe_av_model.save_pretrained(folder)
    tokenizer_of_bytes().save_pretrained(folder)
    PeVideoVideoProcessor(
        size={"height": 32, "width": 32},
        do_resize=True,
        do_rescale=True,
        do_normalize=True,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        num_frames=16,
    ).save_pretrained(folder)
    return folder
