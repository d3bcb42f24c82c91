"""Writes the demo world: pictures, tunes and videos with captions and ground truth."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from retrieval.demo.captions import SceneCaption, caption_scene
from retrieval.demo.drawing import PICTURE_PIXELS, render_scene
from retrieval.demo.music import sample_tune, synthesize
from retrieval.demo.music_captions import TuneCaption, caption_tune
from retrieval.demo.scenes import Scene, sample_scene
from retrieval.demo.tunes import Tune
from retrieval.demo.videos import SAMPLE_RATE_HZ, Video, sample_video, write_video
from retrieval.files.documents import parse_json
from retrieval.files.reading import read_text
from retrieval.files.writing import write_text
from retrieval.progress import Progress, no_progress
from retrieval.types import Medium

HELD_OUT = 1
"""First element of every seed of this module; the seeds of training start with 0."""

TRUTH = "truth.jsonl"


@dataclass(frozen=True, slots=True)
class WorldSettings:
    """The number and lengths of the generated files.

    Attributes:
        seed: Seed of all random choices.
        unseen: Whether items have combinations that are held out of training.
        video_seconds: Minimal and maximal length of a video.
        tune_seconds: Minimal and maximal length of a recording.
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
    """One file and its caption.

    Attributes:
        file: Path relative to the world's folder.
        caption: Describes the file or, for a video, one of its events.
        unambiguous: Whether the caption describes no other file of this modality.
        start_seconds: Start of the described event of a video; None otherwise.
        end_seconds: End of the event.
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
class World:
    """A demo world on disk."""

    folder: Path
    items: tuple[WorldItem, ...]

    def of(self, modality: Medium) -> list[WorldItem]:
        """Return the items of a modality."""
        return [item for item in self.items if item.modality is modality]


def write_world(out: Path, settings: WorldSettings, *, progress: Progress = no_progress) -> World:
    """Generate a world into a folder that `embed` can read; equal settings give equal worlds.

    Args:
        out: Folder for `images`, `music`, `videos` and the ground truth.
        settings: Number and lengths of the files.
        progress: Updated after every file.
    """
    for name in ("images", "music", "videos"):
        (out / name).mkdir(parents=True, exist_ok=True)
    items = [*_scene_items(settings), *_tune_items(settings), *_video_items(settings)]
    jobs = [(out, settings, item.modality, item.file) for item in items]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(mp_context=context) as pool:
        for done, _ in enumerate(pool.map(_write_file, jobs, chunksize=8), 1):
            progress("writing the demo world", done, len(jobs))
    _write_captions(out, items)
    write_text(out / TRUTH, "".join(json.dumps(asdict(item)) + "\n" for item in items))
    return World(out, tuple(items))


def load_world(out: Path) -> World:
    """Read a world that `write_world` wrote."""
    lines = read_text(out / TRUTH).splitlines()
    return World(out, tuple(parse_json(WorldItem, line) for line in lines))


# ---------------------------------------------------------------- items


def _rng(settings: WorldSettings, modality: Medium, number: int) -> np.random.Generator:
    medium = list(Medium).index(modality)
    return np.random.default_rng([HELD_OUT, settings.seed, medium, number, int(settings.unseen)])


def world_scene(settings: WorldSettings, number: int) -> tuple[Scene, SceneCaption]:
    """Sample the scene of picture `number` of a world, and its caption."""
    rng = _rng(settings, Medium.IMAGE, number)
    scene = sample_scene(rng, unseen=settings.unseen)
    return scene, caption_scene(scene, rng)


def world_tune(settings: WorldSettings, number: int) -> tuple[Tune, TuneCaption, float]:
    """Sample tune `number` of a world, its caption, and its length in seconds."""
    rng = _rng(settings, Medium.AUDIO, number)
    tune = sample_tune(rng, unseen=settings.unseen)
    caption = caption_tune(tune, rng)
    return tune, caption, float(rng.uniform(*settings.tune_seconds))


def world_video(settings: WorldSettings, number: int) -> Video:
    """Sample video `number` of a world."""
    rng = _rng(settings, Medium.VIDEO, number)
    return sample_video(rng, unseen=settings.unseen, seconds=settings.video_seconds)


def _scene_items(settings: WorldSettings) -> list[WorldItem]:
    scenes = [world_scene(settings, number) for number in range(settings.images)]
    return [
        WorldItem(
            f"images/{number:05}.png",
            Medium.IMAGE,
            caption.text,
            sum(caption.describes(other) for other, _ in scenes) == 1,
        )
        for number, (_, caption) in enumerate(scenes)
    ]


def _tune_items(settings: WorldSettings) -> list[WorldItem]:
    tunes = [world_tune(settings, number) for number in range(settings.tunes)]
    return [
        WorldItem(
            f"music/{number:05}.flac",
            Medium.AUDIO,
            caption.text,
            sum(caption.describes(other) for other, _, _ in tunes) == 1,
            duration_seconds=seconds,
        )
        for number, (_, caption, seconds) in enumerate(tunes)
    ]


def _video_items(settings: WorldSettings) -> list[WorldItem]:
    """Describe each video by a random event of it."""
    videos = [world_video(settings, number) for number in range(settings.videos)]
    items = []
    for number, video in enumerate(videos):
        rng = _rng(settings, Medium.VIDEO, number).spawn(1)[0]
        event = video.events[int(rng.integers(len(video.events)))]
        matches = sum(len(other.matching_events(event.caption)) for other in videos)
        items.append(
            WorldItem(
                f"videos/{number:05}.mp4",
                Medium.VIDEO,
                event.caption.text,
                matches == 1,
                event.start_seconds,
                event.end_seconds,
                video.duration_seconds,
            )
        )
    return items


# ---------------------------------------------------------------- files


def _write_file(job: tuple[Path, WorldSettings, Medium, str]) -> None:
    import soundfile
    from PIL import Image

    out, settings, modality, file = job
    path = out / file
    number = int(path.stem)
    if modality is Medium.IMAGE:
        scene, _ = world_scene(settings, number)
        Image.fromarray(render_scene(scene, PICTURE_PIXELS)).save(path)
    elif modality is Medium.AUDIO:
        tune, _, seconds = world_tune(settings, number)
        soundfile.write(path, synthesize(tune, seconds, SAMPLE_RATE_HZ), SAMPLE_RATE_HZ)
    else:
        write_video(world_video(settings, number), path, size_pixels=PICTURE_PIXELS)


def _write_captions(out: Path, items: list[WorldItem]) -> None:
    """Write captions.jsonl into each folder."""
    for folder, group in groupby(items, lambda item: item.file.partition("/")[0]):
        rows = [{"file": Path(item.file).name, "caption": item.caption} for item in group]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        write_text(out / folder / "captions.jsonl", text)
