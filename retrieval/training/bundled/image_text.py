"""Training of the bundled image-text model on scenes of the demo world.

The result is a folder that open_clip loads as `local-dir:FOLDER`: configuration, tokenizer, float16
weights, and a model card.
"""

from __future__ import annotations

import logging
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
from retrieval.encoders.clip_sizes import SIDE_PIXELS, TINY_CLIP
from retrieval.encoders.weights import OPEN_CLIP_WEIGHTS
from retrieval.evaluation.ranking import first_relevant_ranks
from retrieval.files.writing import write_text
from retrieval.progress import Progress, no_progress
from retrieval.training.bundled.scene_pairs import (
    CAPTIONS_EACH,
    FEW_DETAILS,
    FULL_DETAILS,
    HELD_OUT,
    UNSEEN,
    Details,
    make_gallery,
    make_pairs,
    normalize_pictures,
    pair_batches,
    training_captions,
)
from retrieval.training.history import ValidationScore, join_histories
from retrieval.training.loop import TrainingRun, finish
from retrieval.training.pairs.contrastive import TrainingSettings, train_contrastive
from retrieval.training.pairs.new_model import write_clip_configuration
from retrieval.training.tensors import half, write_tensors

logger = logging.getLogger(__name__)

BATCH: Final = 128
TOKENIZER_SCENES: Final = 20_000
GALLERY_SCENES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the training. Checkpoints store its fields.

    Attributes:
        steps: Number of batches.
        pictures: Number of different scenes; each occurs several times, with different captions.
        family: Number of similar pictures that share a batch; 1: pictures are independent.
        learning_rate: The peak.
        details: Detail of the captions.
    """

    steps: int
    pictures: int
    family: int
    learning_rate: float
    details: Details = FULL_DETAILS


STAGES: Final = (
    Stage(1_300, 90_000, 1, 1e-3),
    Stage(1_500, 90_000, 4, 7e-4),
    Stage(400, 40_000, 1, 4e-4, FEW_DETAILS),
)
"""Independent scenes teach the words, families of similar scenes teach every detail, and short
captions prepare for short queries."""


@dataclass(frozen=True, slots=True)
class SceneScore:
    """Recall on held-out scenes; `ceiling` is the share of captions that describe one scene."""

    score: ValidationScore
    ceiling: float

    def __str__(self) -> str:
        scenes = self.score.pool
        return (
            f"{self.score} (chance {1 / scenes:.1%}, {5 / scenes:.1%} and {10 / scenes:.1%}, "
            f"ceiling {self.ceiling:.1%})"
        )


class HeldOutScenes:
    """Different scenes outside of the training split, with one full caption each."""

    def __init__(self, tokenizer: Any, split: int, seed: int, count: int = GALLERY_SCENES) -> None:
        self._scenes, self._pixels, self._captions = make_gallery(count, split, seed)
        self._tokens = tokenizer([caption.text for caption in self._captions])

    @torch.inference_mode()
    def score(self, model: Any, step: int) -> ValidationScore:
        """Rank all scenes for each caption; the training mode of the model is restored."""
        training = model.training
        model.eval()
        device = next(model.parameters()).device
        count = len(self._scenes)
        parts = [slice(first, first + BATCH) for first in range(0, count, BATCH)]
        pictures = (normalize_pictures(self._pixels[part]).to(device) for part in parts)
        media = torch.cat([model.encode_image(batch, normalize=True) for batch in pictures])
        tokens = (self._tokens[part].to(device) for part in parts)
        text = torch.cat([model.encode_text(batch, normalize=True) for batch in tokens])
        model.train(training)
        scores = (text @ media.T).float().cpu().numpy()
        ranks = first_relevant_ranks(scores, np.eye(count, dtype=bool))
        return ValidationScore.from_ranks(step, ranks, count)

    def score_with_ceiling(self, model: Any, step: int) -> SceneScore:
        """Score a model, and measure the best possible recall at 1."""
        unique = [sum(map(caption.describes, self._scenes)) == 1 for caption in self._captions]
        return SceneScore(self.score(model, step), float(np.mean(unique)))


@dataclass(frozen=True, slots=True)
class ImageTrainingReport:
    """Data and scores of a training run, as the model card states them.

    `minutes` is the wall-clock time of the stages; `unseen` refers to scenes with combinations of
    colour and shape that are not in the training split.
    """

    parameters: int
    pairs: int
    minutes: float
    held_out: SceneScore
    unseen: SceneScore

    def __str__(self) -> str:
        return f"held-out scenes: {self.held_out}\nunseen combinations: {self.unseen}"


def train_tiny_image(
    out: Path,
    *,
    seed: int = 0,
    steps: int | None = None,
    device: str = "auto",
    gallery: int = GALLERY_SCENES,
    progress: Progress = no_progress,
) -> ImageTrainingReport:
    """Train the model from random weights and write its folder; a killed run resumes.

    Args:
        out: Folder to write; created when missing.
        seed: Determines scenes, captions and weights.
        steps: Largest number of batches per stage; None: as the bundled model.
        device: `auto`, `cpu` or `cuda`.
        gallery: Number of scenes in each of the two galleries for evaluation.
        progress: Receives the number of drawn scenes and of steps.

    Raises:
        WeightsFormatError: The folder has a checkpoint of another run.
        StorageError: The folder cannot be written.
    """
    import open_clip

    stages = [replace(stage, steps=min(stage.steps, steps or stage.steps)) for stage in STAGES]
    out.mkdir(parents=True, exist_ok=True)
    tokenizer_scenes = min(TOKENIZER_SCENES, stages[0].steps * BATCH)
    write_clip_configuration(training_captions(tokenizer_scenes, seed), out)
    torch.manual_seed(seed)
    model = open_clip.create_model(f"local-dir:{out}", load_weights=False)
    chosen = choose_device(device)
    model.to(chosen, memory_format=torch.channels_last)  # fastest for convolutions
    tokenizer = open_clip.get_tokenizer(f"local-dir:{out}")
    held_out = HeldOutScenes(tokenizer, HELD_OUT, seed, gallery)
    runs = []
    for number, stage in enumerate(stages, start=1):
        logger.info(f"stage {number}: {stage.steps} steps of {BATCH} pairs on {chosen}")
        run = TrainingRun.in_folder(
            out,
            stage.steps,
            {"seed": seed, "batch": BATCH, **asdict(stage)},
            score=partial(held_out.score, model),
            stage=number,
            progress=progress,
        )
        _train_stage(model, tokenizer, stage, seed, run)
        runs.append(run)
    write_tensors(out / OPEN_CLIP_WEIGHTS, half(model.state_dict()))
    history = join_histories([run.history for run in runs])
    done = len(history.losses)
    unseen = HeldOutScenes(tokenizer, UNSEEN, seed, gallery)
    report = ImageTrainingReport(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        pairs=done * BATCH,
        minutes=history.seconds / 60,
        held_out=held_out.score_with_ceiling(model, done),
        unseen=unseen.score_with_ceiling(model, done),
    )
    write_text(out / "README.md", describe(report, seed))
    finish(out, *runs)
    return report


def _train_stage(
    model: torch.nn.Module, tokenizer: Any, stage: Stage, seed: int, run: TrainingRun
) -> None:
    """Train the model in place; a finished stage is restored from its checkpoint."""
    settings = TrainingSettings(
        steps=stage.steps,
        learning_rate=stage.learning_rate,
        warmup_steps=min(200, stage.steps // 5),
        seed=seed,
    )
    stream = _draw_batches(tokenizer, stage, seed, run.progress)
    train_contrastive(model, lambda first: islice(stream, first, None), settings, run)


def _draw_batches(
    tokenizer: Any, stage: Stage, seed: int, progress: Progress
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches; the scenes of the stage are drawn before the first one."""
    count = min(stage.pictures, stage.steps * BATCH)
    pixels, captions = make_pairs(
        count, seed, family=stage.family, details=stage.details, progress=progress
    )
    tokens = torch.stack([tokenizer(texts) for texts in captions]).to(torch.int16)
    yield from pair_batches(pixels, tokens, BATCH, seed, family=stage.family)


def describe(report: ImageTrainingReport, seed: int) -> str:
    """Return the model card."""
    scenes = sum(stage.pictures for stage in STAGES)
    return f"""# tiny-image

A CLIP of {report.parameters / 1e6:.1f} million parameters for pictures of {SIDE_PIXELS} × \
{SIDE_PIXELS} pixels.
It is trained on the demo world only: a few coloured, textured shapes on simple backgrounds.

- Architecture: a ResNet with attention pooling and a text transformer (CLIP, 2103.00020) into
  {TINY_CLIP["embed_dim"]} dimensions; `open_clip_config.json` has the sizes.
- Data: {report.pairs:,} pairs from {scenes:,} generated scenes with {CAPTIONS_EACH} captions each,
  seed {seed}; no picture or word from any other source.
- Training: {report.minutes:.0f} minutes of wall-clock time, including the drawing of the scenes;
  training.svg shows it.
- Held-out scenes, text → image: {report.held_out}.
- Held-out scenes with combinations of colour and shape outside of the training data:
  {report.unseen}.
- License: Apache-2.0, as the repository. Weights are float16 safetensors.
"""
