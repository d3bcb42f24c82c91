"""A sound within a long recording, by Hammer and by baselines.

Clips of ESC-10 are joined to recordings of 30 to 120 s (`benchmarks.datasets.esc10_recordings`). A
MuLan with windows of 2 s is trained on folds 1 to 4, and a Hammer over its segments on recordings
of the same folds. Queries such as "the sound of a dog bark" are then run on recordings of fold 5,
through the public search. The baselines are the best constant window, which reads no input, and
`similarity`, which needs no training. The settings below were chosen on folds 1 to 4 (trained on 1
to 3, tested on 4), never on fold 5. Models that exist in the folder are not trained again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import soundfile

from benchmarks.datasets.esc10 import SoundClip, read_clips, split
from benchmarks.datasets.esc10_recordings import QUIET, Recording, join_clips, without_quiet_ends
from benchmarks.moments.generated_queries import CaptionedMoment, TrueItemTask
from benchmarks.results.outcome import Result
from benchmarks.suites.esc10 import RESNET, STRONG, TEMPLATES, Recipe, train
from retrieval.collection import Collection
from retrieval.embedding.options import EmbedOptions
from retrieval.encoders.mulan import WEIGHTS, MulanEncoder
from retrieval.encoders.pooling import unit_rows
from retrieval.localization.hammer_files import read_space_digest
from retrieval.localization.hammer_model import Level
from retrieval.media.audio.windows import cut_windows
from retrieval.targets import Target
from retrieval.training.moments.data import AnnotatedMoment, MomentData, find_rivals
from retrieval.training.moments.objective import HammerSettings
from retrieval.training.moments.train import HammerDataset, HammerOptions, train_hammer
from retrieval.types import AudioWindows, Medium, Space, TimedRows

logger = logging.getLogger(__name__)

SUITE: Final = "esc10-moments"
SEED: Final = 0
HELD_OUT_FOLD: Final = 5
GOALS: Final = {0.5: 0.60}
MINUTES_GOAL: Final = 20.0
QUERY: Final = TEMPLATES[1]

TRAINING, TEST = 0, 1
"""First elements of the seeds of recordings, so that both splits differ."""

TRAINING_RECORDINGS, TEST_RECORDINGS, VALIDATION_RECORDINGS = 200, 100, 20
HOP_SECONDS: Final = 1.0
RECIPE: Final = Recipe("ResNet over 2 s", replace(RESNET, window_seconds=2.0), 40, 1e-3, STRONG)


@dataclass(frozen=True, slots=True)
class HammerSizes:
    """Sizes and training of the Hammer, whose rows are a second apart."""

    levels: tuple[Level, ...] = (Level(16, 1), Level(8, 1))
    width: int = 64
    vocabulary: int = 300
    steps: int = 600
    learning_rate: float = 1e-3


HAMMER: Final = HammerSizes()
NOISE_LENGTH: Final = 0.7
"""Length of the noise that is added to unit rows in training."""


@dataclass(frozen=True, slots=True)
class Sounds:
    """Clips without quiet ends, of the training folds and of the held-out fold."""

    names: Sequence[str]
    training: Sequence[SoundClip]
    held_out: Sequence[SoundClip]

    def recording(self, split: int, number: int) -> Recording:
        """Join recording `number` of a split, `TRAINING` or `TEST`."""
        clips = self.held_out if split == TEST else self.training
        rng = np.random.default_rng([split, number])
        return join_clips(clips, RECIPE.config.sample_rate_hz, rng)


def run(*, folder: Path, data: Path, scale: float = 1.0) -> list[Result]:
    """Train on folds 1 to 4, embed recordings of fold 5, and run all queries.

    Args:
        folder: Folder of models, recordings and the collection.
        data: Folder of ESC-10.
        scale: Share of the recordings and of the training.
    """
    start = time.monotonic()
    names, clips = read_clips(data, RECIPE.config.sample_rate_hz)
    clips = [replace(clip, sound=without_quiet_ends(clip.sound)) for clip in clips]
    sounds = Sounds(names, *split(clips, HELD_OUT_FOLD))
    queries = _write_recordings(folder / "recordings", sounds, _scaled(TEST_RECORDINGS, scale))
    logger.info("%d moments in recordings of fold %d", len(queries), HELD_OUT_FOLD)
    mulan, hammer = folder / "mulan", folder / "hammer"
    if not (mulan / WEIGHTS).exists():
        train(RECIPE, pieces_of(sounds.training), names, mulan, scale=scale)
        logger.info("MuLan trained on the other folds, %.1f min", _minutes_since(start))
    space = _embed(folder, mulan)
    if read_space_digest(hammer) != space.digest:
        _train_hammer(hammer, mulan, space, sounds, scale)
        logger.info("Hammer trained, %.1f min", _minutes_since(start))
    results: list[Result] = []
    for name, localizer in (("Hammer", f"hammer:{hammer}"), ("similarity", "similarity")):
        task = TrueItemTask(
            SUITE, f"sound in the true recording, {name}", queries, Target.MUSIC,
            GOALS if name == "Hammer" else {},
        )  # fmt: skip
        results += task.measure(Collection.open(folder / "collection", localizer=localizer))
        logger.info("queries run with %s", name)
    minutes = _minutes_since(start)
    return [*results, Result(SUITE, "the whole suite", "minutes", minutes, MINUTES_GOAL)]


def _minutes_since(start: float) -> float:
    return (time.monotonic() - start) / 60


def pieces_of(clips: Sequence[SoundClip]) -> list[SoundClip]:
    """Cut clips into pieces of the MuLan's window length, and drop quiet pieces.

    The last piece may be shorter. It is dropped if it is shorter than half a window, unless it is
    the only one.
    """
    pieces = []
    length = RECIPE.config.window_samples
    for clip in clips:
        for first in range(0, max(1, len(clip.sound) - length // 2), length):
            sound = clip.sound[first : first + length]
            if np.abs(sound).max() >= QUIET * np.abs(clip.sound).max():
                pieces.append(replace(clip, sound=sound))
    return pieces


def _write_recordings(folder: Path, sounds: Sounds, count: int) -> list[CaptionedMoment]:
    """Write recordings as files; return a query for every span."""
    folder.mkdir(parents=True, exist_ok=True)
    rate = RECIPE.config.sample_rate_hz
    queries = []
    for number in range(count):
        recording = sounds.recording(TEST, number)
        file = f"{number:05}.flac"
        soundfile.write(folder / file, recording.sound, rate)
        duration = len(recording.sound) / rate
        queries += [
            CaptionedMoment(file, QUERY.format(sounds.names[each.label]), each.span, duration)
            for each in recording.spans
        ]
    return queries


def _embed(folder: Path, mulan: Path) -> Space:
    collection = Collection(folder / "collection")
    options = EmbedOptions(models=(f"mulan:{mulan}",), hop_seconds=HOP_SECONDS)
    collection.add(folder / "recordings", options=options)
    collection.index()
    return collection.snapshot.spaces[0]


def _train_hammer(out: Path, mulan: Path, space: Space, sounds: Sounds, scale: float) -> None:
    """Train the Hammer. Some of the test recordings give the figures of its card."""
    encoder = MulanEncoder.load(mulan)
    training = moment_data(encoder, space, sounds, TRAINING, _scaled(TRAINING_RECORDINGS, scale))
    logger.info("%d recordings embedded for training", len(training.videos))
    dataset = HammerDataset(
        with_noise(training, space, np.random.default_rng(SEED)),
        moment_data(encoder, space, sounds, TEST, _scaled(VALIDATION_RECORDINGS, scale)),
        space,
        medium=Medium.AUDIO,
        source=f"{len(training.videos)} recordings joined from clips of ESC-10, folds 1 to 4",
    )
    options = HammerOptions(
        out,
        HammerSettings(max(1, round(scale * HAMMER.steps)), HAMMER.learning_rate),
        levels=HAMMER.levels,
        width=HAMMER.width,
        vocabulary=HAMMER.vocabulary,
    )
    logger.info("%s", train_hammer(dataset, options))


def moment_data(
    encoder: MulanEncoder, space: Space, sounds: Sounds, split: int, count: int
) -> MomentData:
    """Embed recordings as `embed` does, with one of four random captions per span."""
    windows = _windows_of(space)
    texts = np.random.default_rng([split, count, SEED])
    videos, queries, labels = [], [], []
    for number in range(count):
        recording = sounds.recording(split, number)
        videos.append(_rows(encoder, recording, windows))
        for each in recording.spans:
            caption = TEMPLATES[int(texts.integers(len(TEMPLATES)))]
            text = caption.format(sounds.names[each.label])
            queries.append(AnnotatedMoment(number, text, (each.span,)))
            labels.append(each.label)
    labels_of = [set[int]() for _ in videos]
    for query, label in zip(queries, labels, strict=True):
        labels_of[query.video].add(label)
    sentences = encoder.encode_text([query.text for query in queries])
    return find_rivals(
        videos, queries, sentences, answers=lambda query, video: labels[query] in labels_of[video]
    )


def with_noise(data: MomentData, space: Space, rng: np.random.Generator) -> MomentData:
    """Add noise of length `NOISE_LENGTH` to every row, and narrow the windows.

    The MuLan fits its training clips better than new clips; noise keeps the Hammer from relying on
    that. The Hammer predicts from the start of its first row to the end of its last row. Rows
    overlap, so windows are narrowed by half of the overlap on both sides.
    """
    videos = []
    for video in data.videos:
        noise = rng.normal(0, NOISE_LENGTH / data.dim**0.5, video.vectors.shape)
        rows = unit_rows(video.vectors + noise.astype(np.float32), "rows with noise")
        videos.append(replace(video, vectors=rows))
    windows = _windows_of(space)
    half = (windows.window_seconds - windows.hop_seconds) / 2
    queries = [
        replace(query, windows=tuple((start + half, end - half) for start, end in query.windows))
        for query in data.queries
    ]
    return replace(data, videos=videos, queries=queries)


def _windows_of(space: Space) -> AudioWindows:
    assert space.windows is not None  # spaces of sound have windows
    return space.windows


def _rows(encoder: MulanEncoder, recording: Recording, windows: AudioWindows) -> TimedRows:
    cut = list(cut_windows([recording.sound], windows))
    starts = np.array([window.start_seconds for window in cut])
    ends = np.array([window.end_seconds for window in cut])
    vectors = encoder.encode_audio(np.stack([window.samples for window in cut]), ends - starts)
    return TimedRows(starts, ends, vectors)


def _scaled(number: int, scale: float) -> int:
    """Scale a number of recordings; four is the minimum for training with rivals."""
    return max(4, round(number * scale))
