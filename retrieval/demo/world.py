"""The demo world as files: pictures, tunes and videos with captions, and the truth about them."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from retrieval.demo.captions import SceneCaption, caption_scene
from retrieval.demo.drawing import render_scene
from retrieval.demo.music import sample_tune, synthesize
from retrieval.demo.music_captions import FACTS, TuneCaption, caption_tune
from retrieval.demo.scenes import Scene, sample_scene
from retrieval.demo.tunes import Tune
from retrieval.demo.videos import (
    SAMPLE_RATE_HZ,
    Event,
    Video,
    VideoCaption,
    sample_video,
    video_caption,
    write_video,
)
from retrieval.media.captions import CAPTIONS_FILE
from retrieval.types import Medium

T = TypeVar("T")

HELD_OUT = 1
"""First element of every seed here; training draws from streams that begin with 0."""

PICTURE_PIXELS = 128
FOLDERS = {Medium.IMAGE: "images", Medium.AUDIO: "music", Medium.VIDEO: "videos"}
TRUTH = "truth.jsonl"
MOMENTS = "moments.jsonl"


@dataclass(frozen=True, slots=True)
class WorldSettings:
    """How much to make, of what.

    Attributes:
        seed: Decides everything.
        unseen: Take combinations that never occur in training.
        video_seconds: Shortest and longest video.
        tune_seconds: Shortest and longest recording.
    """

    seed: int = 0
    images: int = 300
    tunes: int = 60
    videos: int = 12
    unseen: bool = False
    video_seconds: tuple[float, float] = (20.0, 90.0)
    tune_seconds: tuple[float, float] = (10.0, 20.0)


@dataclass(frozen=True, slots=True)
class WorldItem:
    """One file and the query it answers.

    Attributes:
        file: Path relative to the world's folder.
        modality: What it is.
        caption: A text that it answers; of a video, one of its events.
        unambiguous: Whether the caption is true of no other file of its kind.
        start_seconds: Where a video's event begins; None otherwise.
        end_seconds: Where it ends.
        duration_seconds: Length of a video or recording.
    """

    file: str
    modality: Medium
    caption: str
    unambiguous: bool
    start_seconds: float | None = None
    end_seconds: float | None = None
    duration_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class WorldMoment:
    """One event of a video, and the query that it answers.

    Attributes:
        video: Path relative to the world's folder.
        query: A text that is true of the event.
        start_seconds: Where it begins.
        end_seconds: Where it ends.
        unambiguous: Whether the query is true of no other event in any video.
    """

    video: str
    query: str
    start_seconds: float
    end_seconds: float
    unambiguous: bool


@dataclass(frozen=True, slots=True)
class World:
    """A written world; `moments` holds every event of every video."""

    folder: Path
    items: tuple[WorldItem, ...]
    moments: tuple[WorldMoment, ...] = ()

    def of(self, modality: Medium) -> list[WorldItem]:
        """Items of one kind."""
        return [item for item in self.items if item.modality is modality]


def write_world(
    out: Path, settings: WorldSettings, *, progress: Callable[[str], None] | None = None
) -> World:
    """Generate a world into a folder that `embed` can read; the same settings make the same world.

    Args:
        out: Folder for `images`, `music`, `videos` and the truth; what is left of a larger world
            that was written there before is removed.
        settings: How much of what.
        progress: Called with a line now and then.
    """
    plan = _plan(settings)
    jobs = plan.jobs(out)
    _prepare(out, {path for path, _ in jobs})
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(mp_context=context) as pool:
        for done, _ in enumerate(pool.map(_write_file, jobs, chunksize=4), 1):
            if progress is not None and (done % 100 == 0 or done == len(jobs)):
                progress(f"{done} of {len(jobs)} files written")
    world = World(out, tuple(plan.items()), tuple(plan.moments()))
    for modality, folder in FOLDERS.items():
        captions = plan.file_captions(modality)
        if captions:
            _write_rows(out / folder / CAPTIONS_FILE, captions)
    _write_rows(out / MOMENTS, [asdict(moment) for moment in world.moments])
    _write_rows(out / TRUTH, [asdict(item) for item in world.items])
    return world


def load_world(out: Path) -> World:
    """Read a world that `write_world` made."""
    items = (
        WorldItem(**{**row, "modality": Medium(row["modality"])}) for row in _read_rows(out / TRUTH)
    )
    moments = (WorldMoment(**row) for row in _read_rows(out / MOMENTS))
    return World(out, tuple(items), tuple(moments))
