"""`bench run esc10-moments`: a sound within a long recording, by Hammer and by what it must beat.

Clips of ESC-10 are joined to recordings of 30 to 120 s
(`benchmarks.datasets.esc10_recordings`). A MuLan
that hears 2 s at once learns folds 1 to 4, a Hammer over its segments learns recordings of the
same folds, and "the sound of a dog bark" is asked of recordings of fold 5, through the public
search. Beside Hammer stand the best constant window, which has heard nothing, and `similarity`,
which needs no training. Nothing was chosen on fold 5: the settings below come from training on
folds 1 to 3 and testing on fold 4. Training is left out where `--folder` holds the models.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import soundfile

from benchmarks.datasets.esc10 import Clip, read_clips, split
from benchmarks.datasets.esc10_recordings import QUIET, Recording, join_clips, without_quiet_ends
from benchmarks.moments.questions import Asked, in_true_item
from benchmarks.results.outcome import Outcome
from benchmarks.results.tables import Result
from benchmarks.suites.esc10 import RESNET, STRONG, TEMPLATES, Recipe, learn
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

SUITE: Final = "esc10-moments"
SEED: Final = 0
HELD_OUT_FOLD: Final = 5
GOALS: Final = {0.5: 0.60}
MINUTES_GOAL: Final = 20.0
QUESTION: Final = TEMPLATES[1]

LEARNT, ASKED = 0, 1
"""First elements of the seeds of recordings: what is learnt and what is asked share none."""

RECORDINGS, ASKED_RECORDINGS, CARD_RECORDINGS = 200, 100, 20
HOP_SECONDS: Final = 1.0
RECIPE: Final = Recipe("ResNet over 2 s", replace(RESNET, window_seconds=2.0), 40, 1e-3, STRONG)


@dataclass(frozen=True, slots=True)
class HammerSizes:
    """Of the Hammer, and how long it learns; its rows are a second apart."""

    levels: tuple[Level, ...] = (Level(16, 1), Level(8, 1))
    width: int = 64
    vocabulary: int = 300
    steps: int = 600
    learning_rate: float = 1e-3


HAMMER: Final = HammerSizes()
ROUGHNESS: Final = 0.7
"""Length of the noise that is added to the unit rows a Hammer learns from."""


@dataclass(frozen=True, slots=True)
class Sounds:
    """Clips without quiet ends: those that are learnt, and those of the fold held out."""

    names: Sequence[str]
    seen: Sequence[Clip]
    held_out: Sequence[Clip]

    def recording(self, what: int, number: int) -> Recording:
        """Join recording `number` of those that are `LEARNT` or `ASKED`."""
        clips = self.held_out if what == ASKED else self.seen
        rng = np.random.default_rng([what, number])
        return join_clips(clips, RECIPE.config.sample_rate_hz, rng)


def run(*, say: Callable[[str], None], folder: Path, scale: float = 1.0, data: Path) -> Outcome:
    """Train on folds 1 to 4, embed recordings of fold 5, and ask every localizer.

    Args:
        say: Told about every step.
        folder: Where to write models, recordings and the collection.
        scale: Share of the recordings and of the training; figures are comparable at 1.
        data: Folder of ESC-10.
    """
    start = time.monotonic()
    names, clips = read_clips(data, RECIPE.config.sample_rate_hz)
    clips = [replace(clip, sound=without_quiet_ends(clip.sound)) for clip in clips]
    sounds = Sounds(names, *split(clips, HELD_OUT_FOLD))
    asked = _corpus(folder / "recordings", sounds, _counted(ASKED_RECORDINGS, scale))
    say(f"{len(asked)} moments in recordings of fold {HELD_OUT_FOLD}")
    mulan = folder / "mulan"
    if not (mulan / WEIGHTS).exists():
        learn(RECIPE, pieces_of(sounds.seen), names, mulan, scale=scale)
        say(f"MuLan has learnt the other folds, {_minutes_since(start):.1f} min")
    space = _embed(folder, mulan)
    if read_space_digest(folder / "hammer") != space.digest:
        _train(folder / "hammer", mulan, space, sounds, scale, say)
        say(f"Hammer has learnt, {_minutes_since(start):.1f} min")
    results: list[Result] = []
    for what, localizer in (("Hammer", f"hammer:{folder / 'hammer'}"), ("similarity",) * 2):
        collection = Collection.open(folder / "collection", localizer=localizer)
        goals = GOALS if what == "Hammer" else {}
        task = f"sound in the true recording, {what}"
        results += in_true_item(SUITE, collection, asked, Target.MUSIC, task, goals)
        say(f"{what} asked")
    minutes = _minutes_since(start)
    whole = Result(SUITE, "the whole suite", "minutes", minutes, MINUTES_GOAL)
    return Outcome([*results, whole])


def _minutes_since(start: float) -> float:
    return (time.monotonic() - start) / 60


def pieces_of(clips: Sequence[Clip]) -> list[Clip]:
    """Cut clips into pieces as long as the MuLan's window, each a clip; quiet ones are left out.

    The last piece may be shorter; one shorter than half is left out, unless it is all there is.
    """
    pieces = []
    length = RECIPE.config.window_samples
    for clip in clips:
        for first in range(0, max(1, len(clip.sound) - length // 2), length):
            sound = clip.sound[first : first + length]
            if np.abs(sound).max() >= QUIET * np.abs(clip.sound).max():
                pieces.append(replace(clip, sound=sound))
    return pieces


# ---------------------------------------------------------------- what is asked


def _corpus(place: Path, sounds: Sounds, count: int) -> list[Asked]:
    """Write recordings as files; every moment of each is asked for."""
    place.mkdir(parents=True, exist_ok=True)
    rate = RECIPE.config.sample_rate_hz
    asked = []
    for number in range(count):
        recording = sounds.recording(ASKED, number)
        file = f"{number:05}.flac"
        soundfile.write(place / file, recording.sound, rate)
        duration = len(recording.sound) / rate
        asked += [
            Asked(file, QUESTION.format(sounds.names[moment.label]), moment.span, duration)
            for moment in recording.moments
        ]
    return asked


def _embed(folder: Path, mulan: Path) -> Space:
    collection = Collection(folder / "collection")
    options = EmbedOptions(models=(f"mulan:{mulan}",), hop_seconds=HOP_SECONDS)
    collection.add(folder / "recordings", options=options)
    collection.index()
    return collection.snapshot.spaces[0]


# ---------------------------------------------------------------- what is learnt


def _train(
    out: Path, mulan: Path, space: Space, sounds: Sounds, scale: float, say: Callable[[str], None]
) -> None:
    """Train the Hammer; a part of what is asked later gives its card's figures."""
    encoder = MulanEncoder.load(mulan)
    learnt = moment_data(encoder, space, sounds, LEARNT, _counted(RECORDINGS, scale))
    say(f"{len(learnt.videos)} recordings embedded to learn from")
    dataset = HammerDataset(
        to_learn_from(learnt, space, np.random.default_rng(SEED)),
        moment_data(encoder, space, sounds, ASKED, _counted(CARD_RECORDINGS, scale)),
        space,
        medium=Medium.AUDIO,
        source=f"{len(learnt.videos)} recordings joined from clips of ESC-10, folds 1 to 4",
    )
    options = HammerOptions(
        out,
        HammerSettings(max(1, round(scale * HAMMER.steps)), HAMMER.learning_rate),
        levels=HAMMER.levels,
        width=HAMMER.width,
        vocabulary=HAMMER.vocabulary,
    )
    report = train_hammer(dataset, options)
    say(str(report))


def moment_data(
    encoder: MulanEncoder, space: Space, sounds: Sounds, what: int, count: int
) -> MomentData:
    """Embed recordings as `embed` would, and ask for every moment of theirs in one of four ways."""
    windows = _windows_of(space)
    texts = np.random.default_rng([what, count, SEED])
    videos, asked, labels = [], [], []
    for number in range(count):
        recording = sounds.recording(what, number)
        videos.append(_rows(encoder, recording, windows))
        for moment in recording.moments:
            caption = TEMPLATES[int(texts.integers(len(TEMPLATES)))]
            text = caption.format(sounds.names[moment.label])
            asked.append(AnnotatedMoment(number, text, (moment.span,)))
            labels.append(moment.label)
    heard = [set[int]() for _ in videos]
    for one, label in zip(asked, labels, strict=True):
        heard[one.video].add(label)
    sentences = encoder.encode_text([one.text for one in asked])
    return find_rivals(
        videos, asked, sentences, answers=lambda query, video: labels[query] in heard[video]
    )


def to_learn_from(data: MomentData, space: Space, rng: np.random.Generator) -> MomentData:
    """Add noise of length `ROUGHNESS` to every row, and narrow the windows.

    The MuLan knows what it has learnt far better than what is new to it: noise is meant to keep the
    Hammer from trusting its rows as if all were of the former. The Hammer answers with the start of
    its first row and the end of its last. Where rows overlap, windows narrower by half of what two
    share set that right.
    """
    videos = []
    for video in data.videos:
        noise = rng.normal(0, ROUGHNESS / data.dim**0.5, video.vectors.shape)
        rows = unit_rows(video.vectors + noise.astype(np.float32), "rows with noise")
        videos.append(replace(video, vectors=rows))
    windows = _windows_of(space)
    half = (windows.window_seconds - windows.hop_seconds) / 2
    asked = [
        replace(one, windows=tuple((start + half, end - half) for start, end in one.windows))
        for one in data.queries
    ]
    return replace(data, videos=videos, queries=asked)


def _windows_of(space: Space) -> AudioWindows:
    assert space.windows is not None  # a space of sound has some
    return space.windows


def _rows(encoder: MulanEncoder, recording: Recording, windows: AudioWindows) -> TimedRows:
    cut = list(cut_windows([recording.sound], windows))
    starts = np.array([window.start_seconds for window in cut])
    ends = np.array([window.end_seconds for window in cut])
    vectors = encoder.encode_audio(np.stack([window.samples for window in cut]), ends - starts)
    return TimedRows(starts, ends, vectors)


def _counted(number: int, scale: float) -> int:
    """At least as many recordings as have rivals."""
    return max(4, round(number * scale))
