"""Texts of the items of a demo world, for queries that compare vectors with words.

The number of an item decides on its texts:

| number modulo 3 | texts | query | group |
| --- | --- | --- | --- |
| 0 | none | its caption | only vectors can answer |
| 1 | another caption of the same content | its caption | both can answer |
| 2 | sentences about something that it does not show | part of a sentence | only words can answer |

Captions and sentences of videos are spoken: one cue per event, with pauses between the cues.
Captions of one group are distractors of the others: they share most of their words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from benchmarks.datasets.spoken_sentences import Sentence, sample_sentence
from benchmarks.hybrid.comparison import Group
from retrieval.demo.captions import caption_scene
from retrieval.demo.music_captions import caption_tune
from retrieval.demo.videos import Video
from retrieval.demo.world import (
    World,
    WorldItem,
    WorldSettings,
    world_scene,
    world_tune,
    world_video,
)
from retrieval.types import Medium, TextSource, TimedText

GROUPS: Final = (Group.VECTORS, Group.BOTH, Group.WORDS)
"""Groups by the number of the item modulo 3."""

PAUSE_SECONDS: Final = 0.6
"""Silence at both ends of an event. Cues with longer pauses are moments of their own."""

_SEED: Final = 40_000


@dataclass(frozen=True, slots=True)
class SpokenCue:
    """A sentence that is spoken in an item, from `start_seconds` to `end_seconds` in a video."""

    file: str
    sentence: Sentence
    start_seconds: float | None = None
    end_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class WorldTexts:
    """The texts of a demo world.

    Attributes:
        texts: Texts by file.
        cues: The sentences about something else.
    """

    texts: Mapping[str, Sequence[TimedText]] = field(default_factory=dict)
    cues: Sequence[SpokenCue] = ()


def number_of(item: WorldItem) -> int:
    """Return the number of an item, which is its file's name."""
    return int(item.file.rpartition("/")[2].partition(".")[0])


def group_of(item: WorldItem) -> Group:
    """Return what can answer the query of an item."""
    return GROUPS[number_of(item) % len(GROUPS)]


def texts_of_world(world: World, settings: WorldSettings) -> WorldTexts:
    """Write captions and sentences for the items of a world; equal worlds have equal texts."""
    texts: dict[str, list[TimedText]] = {}
    cues: list[SpokenCue] = []
    for item in world.items:
        number = number_of(item)
        rng = np.random.default_rng([_SEED, settings.seed, list(Medium).index(item.modality),
                                     number])  # fmt: skip
        group = group_of(item)
        if group is Group.BOTH:
            texts[item.file] = _other_captions(item.modality, settings, number, rng)
        elif group is Group.WORDS:
            own = _sentences(item, settings, number, rng)
            texts[item.file] = [_spoken(cue) for cue in own]
            cues += own
    return WorldTexts(texts, cues)


def _other_captions(
    modality: Medium, settings: WorldSettings, number: int, rng: np.random.Generator
) -> list[TimedText]:
    """Describe an item again, in other words where the grammar has some."""
    if modality is Medium.IMAGE:
        scene, _ = world_scene(settings, number)
        return [TimedText(TextSource.CAPTION, caption_scene(scene, rng).text)]
    if modality is Medium.AUDIO:
        tune, _, _ = world_tune(settings, number)
        return [TimedText(TextSource.CAPTION, caption_tune(tune, rng).text)]
    return spoken_captions(world_video(settings, number), rng)


def spoken_captions(video: Video, rng: np.random.Generator) -> list[TimedText]:
    """Describe each event of a video again, spoken while it is seen."""
    return [
        TimedText(
            TextSource.TRANSCRIPT,
            caption_scene(event.scene, rng, motion=event.motion).text,
            event.start_seconds + PAUSE_SECONDS,
            event.end_seconds - PAUSE_SECONDS,
        )
        for event in video.events
    ]


def spoken_sentences(file: str, video: Video, rng: np.random.Generator) -> list[SpokenCue]:
    """Speak a sentence about something else during each event of a video."""
    return [
        SpokenCue(
            file,
            sample_sentence(rng),
            event.start_seconds + PAUSE_SECONDS,
            event.end_seconds - PAUSE_SECONDS,
        )
        for event in video.events
    ]


def _sentences(
    item: WorldItem, settings: WorldSettings, number: int, rng: np.random.Generator
) -> list[SpokenCue]:
    if item.modality is Medium.VIDEO:
        return spoken_sentences(item.file, world_video(settings, number), rng)
    return [SpokenCue(item.file, sample_sentence(rng))]


def _spoken(cue: SpokenCue) -> TimedText:
    source = TextSource.CAPTION if cue.start_seconds is None else TextSource.TRANSCRIPT
    return TimedText(source, cue.sentence.text, cue.start_seconds, cue.end_seconds)
