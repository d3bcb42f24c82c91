"""`bench run esc10`: sounds that nobody here made, five folds, classified by the text of a class.

A MuLan learns four folds with captions made of the class names. Each clip of the fifth is then
given the class whose name's vector is nearest to the clip's. Nothing is chosen on the fold held
out: the settings are fixed below, and training ends when its steps are done.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import retrieval
from benchmarks.datasets.esc10 import CLASSES, FOLDS, Clip, read_clips, split
from benchmarks.results.outcome import Outcome, QueryValues
from benchmarks.results.tables import Result
from retrieval.encoders.mulan import MulanEncoder, read_model, tokenize, write_config
from retrieval.encoders.mulan_sizes import TINY, MulanConfig, ResNetSize, TransformerSize
from retrieval.encoders.pooling import unit_rows
from retrieval.encoders.towers import Mulan
from retrieval.media.audio.windows import cut_windows
from retrieval.training.bundled.music_text import save_weights, write_vocabulary
from retrieval.training.pairs.augmentation import Augmentation, Augmented
from retrieval.training.pairs.contrastive import TrainingSettings, train_contrastive

SUITE: Final = "esc10"
SEED: Final = 0
GOAL: Final = 0.80
PUBLISHED: Final = {"random forest": 0.727, "convolutional network": 0.81, "human": 0.957}
"""Accuracies on the same folds: Piczak, ACM Multimedia 2015 and MLSP 2015."""

TEMPLATES: Final = ("{}", "the sound of a {}", "a recording of a {}", "one can hear a {}")
PER_CLASS: Final = 4
"""Clips of a class in a batch. They share their caption, so the loss becomes one over classes."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model learns the classes.

    Attributes:
        task: What the row of its result says.
        epochs: Times that every clip is seen.
        start: Folder of the model it continues from; None: from nothing.
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
    """One recipe on one fold."""

    recipe: Recipe
    fold: int
    seen: Sequence[Clip]
    held_out: Sequence[Clip]
    names: Sequence[str]
    folder: Path
    scale: float


def run(*, say: Callable[[str], None], folder: Path, scale: float = 1.0, data: Path) -> Outcome:
    """Train and score every recipe on every fold.

    Args:
        say: Told about every fold.
        folder: Where to write the models.
        scale: Share of the epochs, for a quick look; figures are comparable at 1 only.
        data: Folder of ESC-10.
    """
    start = time.monotonic()
    names, clips = read_clips(data, RESNET.sample_rate_hz)
    say(f"{len(clips)} clips read in {time.monotonic() - start:.0f} s")
    simple = nearest_neighbour(clips)
    jobs = [
        Job(recipe, fold, *split(clips, fold), names, folder / f"model-{number}-{fold}", scale)
        for number, recipe in enumerate(RECIPES, start=1)
        for fold in FOLDS
    ]
    right: dict[str, list[NDArray[np.bool_]]] = {recipe.task: [] for recipe in RECIPES}
    # A process for each fold and core: threads would wait for each other at every small layer.
    with multiprocessing.get_context("spawn").Pool(min(os.cpu_count() or 1, len(jobs))) as pool:
        for job, found in zip(jobs, pool.imap(_learn_and_score, jobs), strict=True):
            right[job.recipe.task].append(found)
            minutes = (time.monotonic() - start) / 60
            say(f"{job.recipe.task}: fold {job.fold} {found.mean():.1%}, {minutes:.1f} min")
    results = [row for task, values in right.items() for row in _rows(task, values, simple, clips)]
    minutes = (time.monotonic() - start) / 60
    results.append(Result(SUITE, "all folds of all models", "minutes", minutes, goal=60.0))
    results += [
        Result(SUITE, f"published: {who}", "accuracy", None, chance=1 / CLASSES, published=figure)
        for who, figure in PUBLISHED.items()
    ]
    ids = [clip.name for fold in FOLDS for clip in split(clips, fold)[1]]
    queries = [
        QueryValues(SUITE, task, ids, {"accuracy": np.concatenate(folds).astype(float).tolist()})
        for task, folds in right.items()
    ]
    return Outcome(results, queries)


def _learn_and_score(job: Job) -> NDArray[np.bool_]:
    torch.set_num_threads(1)
    encoder = learn(job.recipe, job.seen, job.names, job.folder, scale=job.scale)
    return score(encoder, job.held_out, job.names)


def _rows(
    task: str, right: Sequence[NDArray[np.bool_]], simple: float, clips: Sequence[Clip]
) -> list[Result]:
    pool = len(clips)
    chance, published = 1 / CLASSES, PUBLISHED["convolutional network"]
    accuracies = [float(fold.mean()) for fold in right]
    mean = float(np.mean(accuracies))  # folds are equally large
    return [
        Result(SUITE, task, "accuracy", mean, GOAL, simple, chance, published, pool),
        Result(SUITE, task, "accuracy, lowest fold", min(accuracies), chance=chance, pool=pool),
    ]


# ---------------------------------------------------------------- training


def learn(
    recipe: Recipe, clips: Sequence[Clip], names: Sequence[str], out: Path, *, scale: float = 1.0
) -> MulanEncoder:
    """Train on clips, write the model's folder, and load it as anybody would."""
    captions = [[template.format(name) for template in TEMPLATES] for name in names]
    flat = [caption for texts in captions for caption in texts]
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    model, tokenizer = _begin(recipe, flat, out)
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


def _begin(recipe: Recipe, captions: Sequence[str], out: Path) -> tuple[Mulan, Any]:
    """A model to train, and its tokenizer; both files of the folder beside the weights."""
    if recipe.start is None:
        return Mulan(recipe.config), write_vocabulary(out, recipe.config, captions)
    model, config, tokenizer = read_model(recipe.start, spec=recipe.start.name)
    shutil.copy(recipe.start / "tokenizer.json", out)
    write_config(config, out / "config.json")
    return model, tokenizer


@torch.inference_mode()
def pictures_of(clips: Sequence[Clip], config: MulanConfig) -> Tensor:
    """(n, bands, frames) log-mel pictures of one window each; short sounds are repeated."""
    log_mel = config.log_mel()
    windows = (np.resize(clip.sound, config.window_samples) for clip in clips)
    return torch.cat([log_mel(torch.from_numpy(window)[None]) for window in windows]).clone()


def balanced_batches(
    pictures: Tensor, labels: NDArray[np.int64], tokens: Tensor, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches of `PER_CLASS` clips of each class, all with the same one of its captions.

    Args:
        pictures: (n, bands, frames).
        labels: (n,) class of each.
        tokens: (classes, captions, length) int64.
        seed: Decides order and captions.
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


# ---------------------------------------------------------------- scoring


def score(encoder: MulanEncoder, clips: Sequence[Clip], names: Sequence[str]) -> NDArray[np.bool_]:
    """Clips whose own class's name is the nearest text; a clip is its windows' mean."""
    texts = encoder.encode_text(names)
    media = np.concatenate([_embed(encoder, clip) for clip in clips])
    labels = np.array([clip.label for clip in clips])
    right: NDArray[np.bool_] = (media @ texts.T).argmax(axis=1) == labels
    return right


def _embed(encoder: MulanEncoder, clip: Clip) -> NDArray[np.float32]:
    """(1, dim) vector of a whole recording."""
    windows = list(cut_windows([clip.sound], encoder.windows))
    seconds = np.array([window.end_seconds - window.start_seconds for window in windows])
    vectors = encoder.encode_audio(np.stack([window.samples for window in windows]), seconds)
    return unit_rows(vectors.mean(axis=0, keepdims=True), "a recording")


def nearest_neighbour(clips: Sequence[Clip]) -> float:
    """What no learning reaches: the class of the clip with the most similar bands, over all folds.

    A clip is the mean and the deviation of each band of its log-mel picture, scaled over the clips
    that are searched.
    """
    pictures = pictures_of(clips, RESNET).numpy()
    rows = np.concatenate([pictures.mean(axis=2), pictures.std(axis=2)], axis=1)
    labels, folds = (
        np.array([getattr(clip, name) for clip in clips]) for name in ("label", "fold")
    )
    right = []
    for fold in FOLDS:
        known, asked = rows[folds != fold], rows[folds == fold]
        scale = known.std(axis=0)
        apart = np.linalg.norm(asked[:, None] / scale - known[None] / scale, axis=2)
        right.append((labels[folds != fold][apart.argmin(axis=1)] == labels[folds == fold]).mean())
    return float(np.mean(right))
