"""Trains the bundled image-text model on scenes of the demo world.

The result is a folder that open_clip loads like any real CLIP (`local-dir:FOLDER`): configuration,
tokenizer, float16 weights, and a card that says how it came about.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from retrieval.evaluation.ranking import first_relevant_ranks, success_at_k
from retrieval.training.contrastive import TrainingSettings, train_contrastive
from retrieval.training.scene_pairs import (
    CAPTIONS_EACH,
    DEVIATION,
    HELD_OUT,
    MEAN,
    SIDE,
    UNSEEN,
    make_gallery,
    make_pairs,
    normalised,
    pair_batches,
)
from retrieval.training.tokenizer import END, PAD, train_tokenizer

CONTEXT: Final = 48
VOCABULARY: Final = 1_200
BATCH: Final = 128
STEPS: Final = 1_600
POOL: Final = 100_000
"""Scenes that are drawn; training goes over them several times, with other captions."""

GALLERY: Final = 1_000
WEIGHTS_NAME: Final = "open_clip_model.safetensors"
"""One of the names that open_clip looks for in a folder."""

MODEL: Final[dict[str, Any]] = {
    "embed_dim": 256,
    "vision_cfg": {
        "image_size": SIDE,
        "patch_size": 8,
        "width": 192,
        "head_width": 64,
        "layers": 6,
        "pool_type": "avg",
    },
    "text_cfg": {
        "context_length": CONTEXT,
        "vocab_size": VOCABULARY,
        "hf_tokenizer_name": "bundled",  # the name is not used: the files lie beside the weights
        "width": 192,
        "heads": 3,
        "layers": 4,
        "pool_type": "eos",
        "pad_id": PAD,
        "eos_id": END,
    },
}
PREPROCESSING: Final = {
    "size": SIDE,
    "mean": [MEAN] * 3,
    "std": [DEVIATION] * 3,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


@dataclass(frozen=True, slots=True)
class GalleryScore:
    """Text → image in a gallery of distinct scenes, one full caption each.

    `ceiling` is the share of captions that describe one scene of the gallery only.
    """

    scenes: int
    recall_at_1: float
    recall_at_10: float
    ceiling: float

    def __str__(self) -> str:
        chance = f"{1 / self.scenes:.1%} and {10 / self.scenes:.1%}"
        return (
            f"R@1 {self.recall_at_1:.1%}, R@10 {self.recall_at_10:.1%} in {self.scenes:,} "
            f"(chance {chance}, ceiling {self.ceiling:.1%})"
        )


@dataclass(frozen=True, slots=True)
class ImageTrainingReport:
    """What a training run saw and reached, as its card states it."""

    parameters: int
    pairs: int
    wall_minutes: float
    cpu_minutes: float
    held_out: GalleryScore
    unseen: GalleryScore


def train_tiny_image(
    out: Path,
    *,
    seed: int = 0,
    steps: int | None = None,
    device: str = "auto",
    gallery: int = GALLERY,
    progress: Callable[[str], None] | None = None,
) -> ImageTrainingReport:
    """Train the image-text model from nothing and write its folder.

    Args:
        out: Folder to write; made when missing.
        seed: Decides every scene, caption and weight.
        steps: Batches of 128 pairs; None: the bundled model's number.
        device: `auto`, `cpu` or `cuda`.
        gallery: Scenes in each of the two galleries that the result is scored on.
        progress: Called with a line now and then.
    """
    import open_clip

    say = progress or (lambda line: None)
    wall, cpu = time.monotonic(), time.process_time()
    steps = STEPS if steps is None else steps
    out.mkdir(parents=True, exist_ok=True)
    pixels, captions = make_pairs(min(POOL, steps * BATCH), seed, say)
    _write_configuration(captions, out)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{out}")
    tokens = torch.stack([tokenizer(texts) for texts in captions]).to(torch.int16)
    torch.manual_seed(seed)
    model = open_clip.create_model(f"local-dir:{out}", load_weights=False)
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    model.to(chosen)
    say(f"{steps} steps of {BATCH} pairs on {chosen}")

    def on_step(step: int, loss: float) -> None:
        if step % 50 == 0:
            say(f"step {step}: loss {loss:.3f}, {(time.monotonic() - wall) / 60:.1f} min")
        if step % 500 == 0:
            _save(model, out)

    settings = TrainingSettings(steps=steps, seed=seed, warmup_steps=min(200, steps // 5))
    train_contrastive(model, pair_batches(pixels, tokens, BATCH, seed), settings, on_step)
    _save(model, out)
    report = ImageTrainingReport(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        pairs=steps * BATCH,
        wall_minutes=(time.monotonic() - wall) / 60,
        cpu_minutes=(time.process_time() - cpu) / 60,
        held_out=score_gallery(model, tokenizer, HELD_OUT, seed, gallery),
        unseen=score_gallery(model, tokenizer, UNSEEN, seed, gallery),
    )
    (out / "README.md").write_text(_card(report, seed), encoding="utf-8")
    return report


@torch.inference_mode()
def score_gallery(
    model: Any, tokenizer: Any, split: int, seed: int, count: int = GALLERY
) -> GalleryScore:
    """Score full captions against a gallery of `count` distinct scenes never trained on."""
    scenes, pixels, captions = make_gallery(count, split, seed)
    device = next(model.parameters()).device
    tokens = tokenizer([caption.text for caption in captions])
    blocks = [slice(first, first + BATCH) for first in range(0, count, BATCH)]
    media = [model.encode_image(normalised(pixels[b]).to(device), normalize=True) for b in blocks]
    text = [model.encode_text(tokens[b].to(device), normalize=True) for b in blocks]
    scores = (torch.cat(text) @ torch.cat(media).T).float().cpu().numpy()
    ranks = first_relevant_ranks(scores, np.eye(count, dtype=bool))
    alone = [sum(map(caption.describes, scenes)) == 1 for caption in captions]
    return GalleryScore(
        count, success_at_k(ranks, 1), success_at_k(ranks, 10), float(np.mean(alone))
    )


def _write_configuration(captions: list[list[str]], out: Path) -> None:
    train_tokenizer(
        (text for texts in captions[:20_000] for text in texts),
        out, vocabulary=VOCABULARY, context_length=CONTEXT,
    )  # fmt: skip
    config = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESSING}
    (out / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")


def _save(model: torch.nn.Module, out: Path) -> None:
    from safetensors.torch import save_file

    weights = {
        name: tensor.detach().to("cpu", torch.float16).contiguous()
        for name, tensor in model.state_dict().items()
    }
    save_file(weights, out / WEIGHTS_NAME)


def _card(report: ImageTrainingReport, seed: int) -> str:
    scenes = min(POOL, report.pairs)
    return f"""# tiny-image

A CLIP of {report.parameters / 1e6:.1f} million parameters for pictures of {SIDE} × {SIDE} pixels.
It knows the demo world only: a few coloured, textured shapes on simple backgrounds.

- Architecture: a ViT with patches of 8 pixels and a text transformer (CLIP, 2103.00020) into
  {MODEL["embed_dim"]} dimensions; `open_clip_config.json` has the sizes.
- Data: {report.pairs:,} pairs drawn from {scenes:,} generated scenes with {CAPTIONS_EACH} captions
  each, seed {seed}; no picture or word from anywhere else.
- Command: `retrieval train clip --out DIR`; {report.wall_minutes:.0f} minutes on the clock,
  {report.cpu_minutes:.0f} of processor time in the training process.
- Held-out scenes, text → image: {report.held_out}.
- Held-out scenes with colours and shapes that never met in training: {report.unseen}.
- Licence: Apache-2.0, as the repository. Weights are float16 safetensors.
"""
