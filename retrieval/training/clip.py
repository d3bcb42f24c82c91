"""Trains the bundled image-text model on scenes of the demo world.

The result is a folder that open_clip loads like any real CLIP (`local-dir:FOLDER`): configuration,
tokenizer, float16 weights, and a card that says how it came about.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from retrieval.encoders.batching import choose_device
from retrieval.evaluation.ranking import first_relevant_ranks, success_at_k
from retrieval.training.contrastive import TrainingSettings, train_contrastive
from retrieval.training.files import half, write_tensors
from retrieval.training.scene_pairs import (
    CAPTIONS_EACH,
    DEVIATION,
    EVERYTHING,
    FEW_WORDS,
    HELD_OUT,
    MEAN,
    SIDE,
    UNSEEN,
    Details,
    make_gallery,
    make_pairs,
    normalised,
    pair_batches,
    training_captions,
)
from retrieval.training.tokenizer import END, PAD, train_tokenizer

CONTEXT: Final = 48
VOCABULARY: Final = 1_200
BATCH: Final = 128
TOKENIZER_SCENES: Final = 20_000
GALLERY: Final = 1_000
WEIGHTS_NAME: Final = "open_clip_model.safetensors"
"""One of the names that open_clip looks for in a folder."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """One part of the training.

    Attributes:
        steps: Batches to train on.
        pictures: Scenes to draw; the lesson goes over them several times, with other captions.
        family: Pictures that share a batch because they differ in one thing only; 1: none do.
        learning_rate: The peak.
        details: How much the pictures' captions say.
    """

    steps: int
    pictures: int
    family: int
    learning_rate: float
    details: Details = EVERYTHING


LESSONS: Final = (
    Lesson(1_300, 90_000, 1, 1e-3),
    Lesson(1_500, 90_000, 4, 7e-4),
    Lesson(400, 40_000, 1, 4e-4, FEW_WORDS),
)
"""First any scenes, to learn the words; then look-alikes, so that every word comes to count; then
short captions, because people type few words."""

MODEL: Final[dict[str, Any]] = {
    "embed_dim": 256,
    "vision_cfg": {
        "image_size": SIDE,
        "layers": [2, 2, 2, 1],  # a list makes it a ResNet; its convolutions find small shapes
        "width": 32,
        "head_width": 64,
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
        steps: Batches of 128 pairs in each lesson at most; None: as the bundled model.
        device: `auto`, `cpu` or `cuda`.
        gallery: Scenes in each of the two galleries that the result is scored on.
        progress: Called with a line now and then.
    """
    import open_clip

    say = progress or (lambda line: None)
    wall, cpu = time.monotonic(), time.process_time()
    lessons = [replace(one, steps=min(one.steps, steps or one.steps)) for one in LESSONS]
    out.mkdir(parents=True, exist_ok=True)
    spelled = min(TOKENIZER_SCENES, lessons[0].steps * BATCH)
    _write_configuration(out, scenes=spelled, seed=seed)
    torch.manual_seed(seed)
    model = open_clip.create_model(f"local-dir:{out}", load_weights=False)
    chosen = choose_device(device)
    model.to(chosen, memory_format=torch.channels_last)  # in which convolutions are fastest
    tokenizer = open_clip.get_tokenizer(f"local-dir:{out}")
    for lesson in lessons:
        say(f"{lesson.steps} steps of {BATCH} pairs on {chosen}")
        learn(model, tokenizer, lesson, seed, say)
        save_weights(model, out)
    report = ImageTrainingReport(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        pairs=sum(lesson.steps for lesson in lessons) * BATCH,
        wall_minutes=(time.monotonic() - wall) / 60,
        cpu_minutes=(time.process_time() - cpu) / 60,
        held_out=score_gallery(model, tokenizer, HELD_OUT, seed, gallery),
        unseen=score_gallery(model, tokenizer, UNSEEN, seed, gallery),
    )
    (out / "README.md").write_text(describe(report, seed), encoding="utf-8")
    return report


def learn(
    model: torch.nn.Module, tokenizer: Any, lesson: Lesson, seed: int, say: Callable[[str], None]
) -> None:
    """Draw a lesson's scenes and train the model on them, in place."""
    start = time.monotonic()
    count = min(lesson.pictures, lesson.steps * BATCH)
    pixels, captions = make_pairs(count, seed, say, family=lesson.family, details=lesson.details)
    tokens = torch.stack([tokenizer(texts) for texts in captions]).to(torch.int16)
    batches = pair_batches(pixels, tokens, BATCH, seed, family=lesson.family)

    def on_step(step: int, loss: float) -> None:
        if step % 50 == 0:
            say(f"step {step}: loss {loss:.3f}, {(time.monotonic() - start) / 60:.1f} min")

    settings = TrainingSettings(
        steps=lesson.steps,
        learning_rate=lesson.learning_rate,
        warmup_steps=min(200, lesson.steps // 5),
        seed=seed,
    )
    train_contrastive(model, batches, settings, on_step)


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


def _write_configuration(out: Path, *, scenes: int, seed: int) -> None:
    captions = training_captions(scenes, seed)
    train_tokenizer(captions, out, vocabulary=VOCABULARY, context_length=CONTEXT)
    config = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESSING}
    (out / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")


def save_weights(model: torch.nn.Module, out: Path) -> None:
    """Write the weights as float16, under a name that open_clip looks for."""
    write_tensors(out / WEIGHTS_NAME, half(model.state_dict()))


def describe(report: ImageTrainingReport, seed: int) -> str:
    """The model card."""
    scenes = sum(lesson.pictures for lesson in LESSONS)
    return f"""# tiny-image

A CLIP of {report.parameters / 1e6:.1f} million parameters for pictures of {SIDE} × {SIDE} pixels.
It knows the demo world only: a few coloured, textured shapes on simple backgrounds.

- Architecture: a ResNet with attention pooling and a text transformer (CLIP, 2103.00020) into
  {MODEL["embed_dim"]} dimensions; `open_clip_config.json` has the sizes.
- Data: {report.pairs:,} pairs drawn from {scenes:,} generated scenes with {CAPTIONS_EACH} captions
  each, seed {seed}; no picture or word from anywhere else.
- Command: `retrieval train clip --out DIR`; {report.wall_minutes:.0f} minutes on the clock,
  {report.cpu_minutes:.0f} of processor time in the training process.
- Held-out scenes, text → image: {report.held_out}.
- Held-out scenes with colours and shapes that never met in training: {report.unseen}.
- Licence: Apache-2.0, as the repository. Weights are float16 safetensors.
"""
