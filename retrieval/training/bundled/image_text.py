"""Trains the bundled image-text model on scenes of the demo world.

The result is a folder that open_clip loads like any real CLIP (`local-dir:FOLDER`): configuration,
tokenizer, float16 weights, and a card that says how it came about.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from retrieval.encoders.batching import choose_device
from retrieval.evaluation.ranking import first_relevant_ranks
from retrieval.files.writing import write_text
from retrieval.training.bundled.scene_pairs import (
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
from retrieval.training.history import ValidationScore, join
from retrieval.training.pairs.contrastive import TrainingSettings, train_contrastive
from retrieval.training.pairs.tokenizer import END, PAD, train_tokenizer
from retrieval.training.run import NOBODY, Telling, TrainingRun, finish
from retrieval.training.tensors import half, write_tensors

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
    """What is reached in a gallery; `ceiling` is the share of captions true of one scene only."""

    reached: ValidationScore
    ceiling: float

    def __str__(self) -> str:
        scenes = self.reached.pool
        return (
            f"{self.reached} (chance {1 / scenes:.1%}, {5 / scenes:.1%} and {10 / scenes:.1%}, "
            f"ceiling {self.ceiling:.1%})"
        )


class Gallery:
    """Distinct scenes never trained on, one full caption each."""

    def __init__(self, tokenizer: Any, split: int, seed: int, count: int = GALLERY) -> None:
        self._scenes, self._pixels, self._captions = make_gallery(count, split, seed)
        self._tokens = tokenizer([caption.text for caption in self._captions])

    @torch.inference_mode()
    def score(self, model: Any, step: int) -> ValidationScore:
        """Ask for each scene among all of them; a model in training is left in training."""
        training = model.training
        model.eval()
        device = next(model.parameters()).device
        count = len(self._scenes)
        blocks = [slice(first, first + BATCH) for first in range(0, count, BATCH)]
        pictures = (normalised(self._pixels[block]).to(device) for block in blocks)
        media = torch.cat([model.encode_image(some, normalize=True) for some in pictures])
        tokens = (self._tokens[block].to(device) for block in blocks)
        text = torch.cat([model.encode_text(some, normalize=True) for some in tokens])
        model.train(training)
        scores = (text @ media.T).float().cpu().numpy()
        ranks = first_relevant_ranks(scores, np.eye(count, dtype=bool))
        return ValidationScore.of_ranks(step, ranks, count)

    def judge(self, model: Any, step: int) -> GalleryScore:
        """The score beside what could be reached."""
        alone = [sum(map(caption.describes, self._scenes)) == 1 for caption in self._captions]
        return GalleryScore(self.score(model, step), float(np.mean(alone)))


@dataclass(frozen=True, slots=True)
class ImageTrainingReport:
    """What a training saw and reached, as its card states it.

    `minutes` are those of its lessons, on the clock; `unseen` are scenes with colours and shapes
    that never met in training.
    """

    parameters: int
    pairs: int
    minutes: float
    held_out: GalleryScore
    unseen: GalleryScore

    def __str__(self) -> str:
        return f"held-out scenes: {self.held_out}\ncombinations never seen: {self.unseen}"


def train_tiny_image(
    out: Path,
    *,
    seed: int = 0,
    steps: int | None = None,
    device: str = "auto",
    gallery: int = GALLERY,
    telling: Telling = NOBODY,
) -> ImageTrainingReport:
    """Train the image-text model from nothing and write its folder; a killed training goes on.

    Args:
        out: Folder to write; made when missing.
        seed: Decides every scene, caption and weight.
        steps: Batches of 128 pairs in each lesson at most; None: as the bundled model.
        device: `auto`, `cpu` or `cuda`.
        gallery: Scenes in each of the two galleries that the result is scored on.
        telling: Who hears of it.

    Raises:
        WeightsFormatError: The folder holds a checkpoint of another training.
        StorageError: The folder cannot be written.
    """
    import open_clip

    lessons = [replace(one, steps=min(one.steps, steps or one.steps)) for one in LESSONS]
    out.mkdir(parents=True, exist_ok=True)
    spelled = min(TOKENIZER_SCENES, lessons[0].steps * BATCH)
    _write_configuration(out, scenes=spelled, seed=seed)
    torch.manual_seed(seed)
    model = open_clip.create_model(f"local-dir:{out}", load_weights=False)
    chosen = choose_device(device)
    model.to(chosen, memory_format=torch.channels_last)  # in which convolutions are fastest
    tokenizer = open_clip.get_tokenizer(f"local-dir:{out}")
    held_out = Gallery(tokenizer, HELD_OUT, seed, gallery)
    runs = []
    for number, lesson in enumerate(lessons, start=1):
        telling.say(f"lesson {number}: {lesson.steps} steps of {BATCH} pairs on {chosen}")
        decided_by = {"seed": seed, "batch": BATCH, **asdict(lesson)}
        run = TrainingRun(
            out, lesson.steps, decided_by, telling, partial(held_out.score, model), number
        )
        learn(model, tokenizer, lesson, seed, run)
        runs.append(run)
    save_weights(model, out)
    history = join([run.history for run in runs])
    report = ImageTrainingReport(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        pairs=len(history.losses) * BATCH,
        minutes=history.seconds / 60,
        held_out=held_out.judge(model, len(history.losses)),
        unseen=Gallery(tokenizer, UNSEEN, seed, gallery).judge(model, len(history.losses)),
    )
    write_text(out / "README.md", describe(report, seed))
    finish(*runs)
    return report


def learn(
    model: torch.nn.Module, tokenizer: Any, lesson: Lesson, seed: int, run: TrainingRun
) -> None:
    """Train the model on a lesson's scenes, in place; one that is over is read and not repeated."""
    settings = TrainingSettings(
        steps=lesson.steps,
        learning_rate=lesson.learning_rate,
        warmup_steps=min(200, lesson.steps // 5),
        seed=seed,
    )
    train_contrastive(
        model,
        islice(_batches(tokenizer, lesson, seed, run.telling), run.begin(), None),
        settings,
        run.on_step,
        checkpoint=run.checkpoint,
        history=run.history,
    )


def _batches(
    tokenizer: Any, lesson: Lesson, seed: int, telling: Telling
) -> Iterator[tuple[Tensor, Tensor]]:
    """Draw a lesson's scenes when its first batch is asked for."""
    count = min(lesson.pictures, lesson.steps * BATCH)
    pixels, captions = make_pairs(
        count, seed, telling, family=lesson.family, details=lesson.details
    )
    tokens = torch.stack([tokenizer(texts) for texts in captions]).to(torch.int16)
    yield from pair_batches(pixels, tokens, BATCH, seed, family=lesson.family)


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
- Command: `retrieval train clip --out DIR`; {report.minutes:.0f} minutes on the clock with
  the drawing of the scenes; training.svg shows it.
- Held-out scenes, text → image: {report.held_out}.
- Held-out scenes with colours and shapes that never met in training: {report.unseen}.
- Licence: Apache-2.0, as the repository. Weights are float16 safetensors.
"""
