"""Repositories in the layouts that open_clip reads."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.hub.repository import Content, Repository
from support.small_models.open_clip_models import (
    SMALL_TEXT,
    pe_core_config,
    save_open_clip,
    siglip2_config,
)
from support.small_models.texts import (
    clip_tokenizer_of_bytes,
    gemma_tokenizer_of_bytes,
    tokenizer_of_bytes,
)

PICKLE, WEIGHTS = "open_clip_pytorch_model.bin", "open_clip_model.safetensors"

CLIP_PREPROCESSING = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
}
CLIP = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
ROBERTA = "roberta-base"


@contextmanager
def quiet_and_seeded() -> Iterator[None]:
    """Suppress progress bars and restore torch's random state."""
    import torch

    from retrieval.encoders.pretrained import quiet_transformers

    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with quiet_transformers(), torch.random.fork_rng(devices=[]):
            yield
    finally:
        logging.disable(level)


def repository(folder: Path, licence: str | None, *omitted: str) -> Repository:
    """Make a repository of a folder's files and a model card.

    Args:
        folder: With the model.
        licence: What the card says at its head; None: nothing.
        omitted: Files that the hub lacks.
    """
    for name in omitted:
        (folder / name).unlink()
    head = f"license: {licence}\n" if licence else ""
    (folder / "README.md").write_text(f"---\n{head}tags:\n- test\n---\n# A model\n")
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs diff=lfs merge=lfs -text\n")
    return Repository.from_folder(folder)


def add_tokenizer_files(folder: Path, *, special: bool = True) -> None:
    """Add the tokenizer files of before transformers 5: vocabulary, merges, special tokens."""
    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "vocab.json").write_text(json.dumps(content["model"]["vocab"]))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    if special:
        config = json.loads((folder / "tokenizer_config.json").read_text())
        marks = {name: mark for name, mark in config.items() if name.endswith("_token")}
        (folder / "special_tokens_map.json").write_text(json.dumps(marks))


def files_of(found: Repository) -> dict[str, Content]:
    """Return the files of a repository's main branch."""
    return found.revisions[found.refs["main"]]


def add_pickle(folder: Path, weights: str, pickle: str) -> None:
    """Save the tensors of a safetensors file as a pickle."""
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / weights), folder / pickle)


def siglip2(folder: Path) -> Repository:
    """Make timm's SigLIP2: open_clip's files and a tokenizer, without config.json."""
    tokenizer = gemma_tokenizer_of_bytes()
    config = siglip2_config(len(tokenizer), "timm/ViT-B-32-SigLIP2-256")
    config["text_cfg"]["context_length"] = 64
    model = save_open_clip(folder / "model", config, tokenizer)
    special = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
    (model / "special_tokens_map.json").write_text(json.dumps(special))
    return repository(model, "apache-2.0")


def pe_core(folder: Path) -> Repository:
    """Make timm's PE-Core: open_clip's files only; the tokenizer is open_clip's own."""
    preprocessing = {
        "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "resize_mode": "squash",
    }  # fmt: skip
    return repository(
        save_open_clip(folder / "model", pe_core_config(), preprocessing=preprocessing),
        "apache-2.0",
    )


def openai_clip(folder: Path) -> Repository:
    """Make timm's copy of OpenAI's CLIP, with the config.json of timm's image tower."""
    model = save_open_clip(
        folder / "model",
        CLIP | {"quick_gelu": True},
        clip_tokenizer_of_bytes(),
        CLIP_PREPROCESSING,
    )
    add_pickle(model, WEIGHTS, PICKLE)
    add_tokenizer_files(model)
    image_tower = {"architecture": "vit_base_patch32_clip_224", "num_features": 64}
    (model / "config.json").write_text(json.dumps(image_tower))
    _other_weights(model)
    return repository(model, None)


def laion_clip(folder: Path) -> Repository:
    """Make LAION's ViT-B/32: open_clip's files, and the same model as transformers' CLIP."""
    model = save_open_clip(folder / "model", CLIP, clip_tokenizer_of_bytes(), CLIP_PREPROCESSING)
    add_pickle(model, WEIGHTS, PICKLE)
    add_tokenizer_files(model)
    config = {"model_type": "clip", "architectures": ["CLIPModel"], "projection_dim": 64}
    (model / "config.json").write_text(json.dumps(config))
    size = {"size": 224, "crop_size": 224, "feature_extractor_type": "CLIPFeatureExtractor"}
    (model / "preprocessor_config.json").write_text(json.dumps(size))
    _other_weights(model)
    return repository(model, "mit")


def _other_weights(folder: Path) -> None:
    """Write weights of another model under the names of transformers and timm."""
    import torch
    from safetensors.torch import save_file

    other = {"head.weight": torch.zeros(4, 4)}
    save_file(other, folder / "model.safetensors", metadata={"format": "pt"})
    torch.save(other, folder / "pytorch_model.bin")


def clip_with_roberta(folder: Path) -> Repository:
    """Make LAION's CLIP with text tower and tokenizer of another repository."""
    text_tower = save_roberta(folder / ROBERTA)
    text = {
        "hf_model_name": str(text_tower),
        "hf_tokenizer_name": str(text_tower),
        "hf_pooler_type": "mean_pooler",
    }
    model = save_open_clip(
        folder / "model",
        CLIP | {"quick_gelu": True, "text_cfg": text},
        preprocessing=CLIP_PREPROCESSING,
    )
    path = model / "open_clip_config.json"
    path.write_text(path.read_text().replace(str(text_tower), ROBERTA))
    add_pickle(model, WEIGHTS, PICKLE)
    return repository(model, "mit")


def save_roberta(folder: Path) -> Path:
    """Save a small text tower as transformers does."""
    import torch
    from transformers import RobertaConfig, RobertaModel

    tokenizer = tokenizer_of_bytes()
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=SMALL_TEXT["width"],
        num_hidden_layers=SMALL_TEXT["layers"],
        num_attention_heads=SMALL_TEXT["heads"],
        intermediate_size=64,
        max_position_embeddings=82,
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        architectures=["RobertaForMaskedLM"],
    )
    torch.manual_seed(0)
    RobertaModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def roberta_base(folder: Path) -> Repository:
    """Make roberta-base under its current name, with weights in several formats."""
    model = save_roberta(folder / "model")
    add_tokenizer_files(model, special=False)
    add_pickle(model, "model.safetensors", "pytorch_model.bin")
    return repository(model, "mit")
