"""Recorded sounds in five folds, classified by the text of a class (ESC-10).

A MuLan is trained on four folds with captions made of the class names. Each clip of the fifth fold
gets the class whose name has the nearest vector. Nothing is selected on the held-out fold: the
settings are fixed below, and training has a fixed number of steps.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import retrieval
from benchmarks.datasets.esc10 import CLASSES, FOLDS, SoundClip, read_clips, split
from benchmarks.results.outcome import Outcome, QueryValues, Result
from retrieval.encoders.mulan import MulanEncoder, read_model, tokenize, write_config
from retrieval.encoders.mulan_sizes import TINY, MulanConfig, ResNetSize, TransformerSize
from retrieval.encoders.pooling import unit_rows
from retrieval.encoders.towers import Mulan
from retrieval.media.audio.windows import cut_windows
from retrieval.training.bundled.music_text import save_weights, write_vocabulary
from retrieval.training.pairs.augmentation import Augmentation, Augmented
from retrieval.training.pairs.contrastive import TrainingSettings, train_contrastive

logger = logging.getLogger(__name__)

SUITE: Final = "esc10"
SEED: Final = 0
GOAL: Final = 0.80
PUBLISHED: Final = {"random forest": 0.727, "convolutional network": 0.81, "human": 0.957}
"""Published accuracies on the same folds: Piczak, ACM Multimedia 2015 and MLSP 2015."""

TEMPLATES: Final = ("{}", "the sound of a {}", "a recording of a {}", "one can hear a {}")
PER_CLASS: Final = 4
"""Clips of a class in a batch. They share a caption, so the loss is one over classes."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The training of one model.

    Attributes:
        task: Name of the task in results.
        epochs: Number of passes over the clips.
        start: Folder of the initial model; None for random weights.
    """

    task: str
    config: MulanConfig
    epochs: int
    learning_rate: float
    augmentation: Augmentation
    start: Path | None = None


RESNET: Final = MulanConfig(
    dim=128,
    sample_rate_hz=16_000,
    window_seconds=5.0,
    mel_bands=64,
    stft_samples=1_024,
    hop_samples=512,
    audio=ResNetSize(width=32, blocks=(1, 1, 1, 1), bottleneck=False),
    text=TransformerSize(width=64, heads=2, layers=2),
    vocabulary=400,
    context_length=32,
)
STRONG: Final = Augmentation(
    shift_share=0.5, gain_decibels=6.0, masks=2, mask_share=0.15, mixup=0.3
)
TINY_MUSIC: Final = Path(retrieval.__file__).parent / "weights" / "tiny-music"

RECIPES: Final = (
    Recipe("ResNet, from scratch", RESNET, 40, 1e-3, STRONG),
    Recipe("tiny, from scratch", TINY, 20, 1e-3, STRONG),
    Recipe("tiny, continued from tiny-music", TINY, 20, 5e-4, STRONG, TINY_MUSIC),
)


@dataclass(frozen=True, slots=True)
class Job:
    """The training of one recipe, with one held-out fold."""

    recipe: Recipe
    fold: int
    training: Sequence[SoundClip]
    held_out: Sequence[SoundClip]
    names: Sequence[str]
    folder: Path
    scale: float


def run(*, folder: Path, data: Path, scale: float = 1.0) -> Outcome:
    """Train and score every recipe on every fold.

    Args:
        folder: Folder of the models.
        data: Folder of ESC-10.
        scale: Share of the epochs.
    """
    start = time.monotonic()
    names, clips = read_clips(data, RESNET.sample_rate_hz)
    logger.info("%d clips read in %.0f s", len(clips), time.monotonic() - start)
    baseline = nearest_neighbour_accuracy(clips)
    jobs = [
        Job(recipe, fold, *split(clips, fold), names, folder / f"model-{number}-{fold}", scale)
        for number, recipe in enumerate(RECIPES, start=1)
        for fold in FOLDS
    ]
    correct: dict[str, list[NDArray[np.bool_]]] = {recipe.task: [] for recipe in RECIPES}
    # One process per core, because threads would synchronize at every small layer.
    with multiprocessing.get_context("spawn").Pool(min(os.cpu_count() or 1, len(jobs))) as pool:
        for job, hits in zip(jobs, pool.imap(_train_and_score, jobs), strict=True):
            correct[job.recipe.task].append(hits)
            minutes = (time.monotonic() - start) / 60
            accuracy = 100 * hits.mean()
            logger.info(
                "%s: fold %d %.1f%%, %.1f min", job.recipe.task, job.fold, accuracy, minutes
            )
    results = [
        row for task, folds in correct.items() for row in _rows(task, folds, baseline, len(clips))
    ]
    minutes = (time.monotonic() - start) / 60
    results.append(Result(SUITE, "all folds of all models", "minutes", minutes, goal=60.0))
    results += [
        Result(SUITE, f"published: {method}", "accuracy", chance=1 / CLASSES, published=figure)
        for method, figure in PUBLISHED.items()
    ]
    ids = [clip.name for fold in FOLDS for clip in split(clips, fold)[1]]
    queries = [
        QueryValues(SUITE, task, ids, {"accuracy": np.concatenate(folds).astype(float).tolist()})
        for task, folds in correct.items()
    ]
    return Outcome(results, queries)


def _train_and_score(job: Job) -> NDArray[np.bool_]:
    torch.set_num_threads(1)
    encoder = train(job.recipe, job.training, job.names, job.folder, scale=job.scale)
    return score(encoder, job.held_out, job.names)


def _rows(
    task: str, folds: Sequence[NDArray[np.bool_]], baseline: float, pool: int
) -> list[Result]:
    chance, published = 1 / CLASSES, PUBLISHED["convolutional network"]
    accuracies = [float(fold.mean()) for fold in folds]
    mean = float(np.mean(accuracies))  # folds have equal sizes
    return [
        Result(SUITE, task, "accuracy", mean, GOAL, baseline, chance, published, pool),
        Result(SUITE, task, "accuracy, lowest fold", min(accuracies), chance=chance, pool=pool),
    ]


def train(
    recipe: Recipe,
    clips: Sequence[SoundClip],
    names: Sequence[str],
    out: Path,
    *,
    scale: float = 1.0,
) -> MulanEncoder:
    """Train on clips, write the folder of the model, and load it."""
    captions = [[template.format(name) for template in TEMPLATES] for name in names]
    flat = [caption for texts in captions for caption in texts]
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    model, tokenizer = _initial_model(recipe, flat, out)
    model.to(memory_format=torch.channels_last)
    tokens = tokenize(tokenizer, flat).reshape(len(names), len(TEMPLATES), -1)
    labels = np.array([clip.label for clip in clips])
    batches = balanced_batches(pictures_of(clips, recipe.config), labels, tokens, SEED)
    per_epoch = len(clips) // (PER_CLASS * len(names))
    steps = max(1, round(scale * recipe.epochs * per_epoch))
    settings = TrainingSettings(steps, recipe.learning_rate, min(100, steps // 5), seed=SEED)
    train_contrastive(Augmented(model, recipe.augmentation), lambda first: batches, settings)
    save_weights(model, out)
    return MulanEncoder.load(out, device="cpu")


def _initial_model(recipe: Recipe, captions: Sequence[str], out: Path) -> tuple[Mulan, Any]:
    """Create or load a model and its tokenizer, and write their configuration files."""
    if recipe.start is None:
        return Mulan(recipe.config), write_vocabulary(out, recipe.config, captions)
    model, config, tokenizer = read_model(recipe.start, spec=recipe.start.name)
    shutil.copy(recipe.start / "tokenizer.json", out)
    write_config(config, out / "config.json")
    return model, tokenizer


@torch.inference_mode()
def pictures_of(clips: Sequence[SoundClip], config: MulanConfig) -> Tensor:
    """Compute (n, bands, frames) log-mel spectrograms of one window each; repeat short sounds."""
    log_mel = config.log_mel()
    windows = (np.resize(clip.sound, config.window_samples) for clip in clips)
    return torch.cat([log_mel(torch.from_numpy(window)[None]) for window in windows]).clone()


def balanced_batches(
    pictures: Tensor, labels: NDArray[np.int64], tokens: Tensor, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield endless batches of `PER_CLASS` clips per class, which share one random caption.

    Args:
        pictures: (n, bands, frames).
        labels: (n,) classes.
        tokens: (classes, captions, length) int64.
        seed: Seed of order and captions.
    """
    rng = np.random.default_rng([seed, 17])
    rows = [np.flatnonzero(labels == label) for label in range(len(tokens))]
    size = min(PER_CLASS, *map(len, rows))
    for _ in count():
        order = [rng.permutation(of_class) for of_class in rows]
        for first in range(0, min(map(len, rows)) - size + 1, size):
            chosen = np.concatenate([of_class[first : first + size] for of_class in order])
            captions = tokens[np.arange(len(rows)), rng.integers(tokens.shape[1], size=len(rows))]
            yield pictures[chosen], captions[labels[chosen]]


def score(
    encoder: MulanEncoder, clips: Sequence[SoundClip], names: Sequence[str]
) -> NDArray[np.bool_]:
    """Tell for each clip whether the name of its class is the nearest text to its mean vector."""
    texts = encoder.encode_text(names)
    media = np.concatenate([_embed(encoder, clip) for clip in clips])
    labels = np.array([clip.label for clip in clips])
    correct: NDArray[np.bool_] = (media @ texts.T).argmax(axis=1) == labels
    return correct


def _embed(encoder: MulanEncoder, clip: SoundClip) -> NDArray[np.float32]:
    """Compute the (1, dim) mean vector of a recording."""
    windows = list(cut_windows([clip.sound], encoder.windows))
    seconds = np.array([window.end_seconds - window.start_seconds for window in windows])
    vectors = encoder.encode_audio(np.stack([window.samples for window in windows]), seconds)
    return unit_rows(vectors.mean(axis=0, keepdims=True), "a recording")


def nearest_neighbour_accuracy(clips: Sequence[SoundClip]) -> float:
    """Compute the baseline without training: the class of the clip with the most similar bands.

    The features are mean and standard deviation of each log-mel band, scaled by their deviation
    over the other folds.
    """
    pictures = pictures_of(clips, RESNET).numpy()
    rows = np.concatenate([pictures.mean(axis=2), pictures.std(axis=2)], axis=1)
    labels, folds = (
        np.array([getattr(clip, name) for clip in clips]) for name in ("label", "fold")
    )
    accuracies = []
    for fold in FOLDS:
        known, held_out = rows[folds != fold], rows[folds == fold]
        scale = known.std(axis=0)
        distances = np.linalg.norm(held_out[:, None] / scale - known[None] / scale, axis=2)
        predicted = labels[folds != fold][distances.argmin(axis=1)]
        accuracies.append((predicted == labels[folds == fold]).mean())
    return float(np.mean(accuracies))
