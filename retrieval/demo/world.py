"""The demo world as files: pictures, tunes and videos with captions, and the truth about them."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retrieval.demo.captions import SceneCaption, caption_scene
from retrieval.demo.drawing import PICTURE_PIXELS, render_scene
from retrieval.demo.music import sample_tune, synthesize
from retrieval.demo.music_captions import TuneCaption, caption_tune
from retrieval.demo.scenes import Scene, sample_scene
from retrieval.demo.tunes import Tune
from retrieval.demo.videos import SAMPLE_RATE_HZ, Video, sample_video, write_video
from retrieval.types import Medium

HELD_OUT = 1
"""First element of every seed here; training draws from streams that begin with 0."""

TRUTH = "truth.jsonl"


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
class World:
    """A written world."""

    folder: Path
    items: tuple[WorldItem, ...]

    def of(self, modality: Medium) -> list[WorldItem]:
        """Items of one kind."""
        return [item for item in self.items if item.modality is modality]


def write_world(
    out: Path, settings: WorldSettings, *, progress: Callable[[str], None] | None = None
) -> World:
    """Generate a world into a folder that `embed` can read; the same settings make the same world.

    Args:
        out: Folder for `images`, `music`, `videos` and the truth.
        settings: How much of what.
        progress: Called with a line now and then.
    """
    say = progress or (lambda line: None)
    for name in ("images", "music", "videos"):
        (out / name).mkdir(parents=True, exist_ok=True)
    items = [*_scene_items(settings), *_tune_items(settings), *_video_items(settings)]
    jobs = [(out, settings, item.modality, item.file) for item in items]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(mp_context=context) as pool:
        for done, _ in enumerate(pool.map(_write_file, jobs, chunksize=8), 1):
            if done % 100 == 0 or done == len(jobs):
                say(f"{done} of {len(jobs)} files written")
    _write_captions(out, items)
    with (out / TRUTH).open("w") as truth:
        truth.writelines(json.dumps(asdict(item)) + "\n" for item in items)
    return World(out, tuple(items))


def load_world(out: Path) -> World:
    """Read a world that `write_world` made."""
    rows = [json.loads(line) for line in (out / TRUTH).read_text().splitlines()]
    items = [WorldItem(**{**row, "modality": Medium(row["modality"])}) for row in rows]
    return World(out, tuple(items))


# ---------------------------------------------------------------- what there is


def _rng(settings: WorldSettings, modality: Medium, number: int) -> np.random.Generator:
    kind = list(Medium).index(modality)
    return np.random.default_rng([HELD_OUT, settings.seed, kind, number, int(settings.unseen)])


def _scene(settings: WorldSettings, number: int) -> tuple[Scene, SceneCaption]:
    rng = _rng(settings, Medium.IMAGE, number)
    scene = sample_scene(rng, unseen=settings.unseen)
    return scene, caption_scene(scene, rng)


def _tune(settings: WorldSettings, number: int) -> tuple[Tune, TuneCaption, float]:
    rng = _rng(settings, Medium.AUDIO, number)
    tune = sample_tune(rng, unseen=settings.unseen)
    caption = caption_tune(tune, rng)
    return tune, caption, float(rng.uniform(*settings.tune_seconds))


def _video(settings: WorldSettings, number: int) -> Video:
    rng = _rng(settings, Medium.VIDEO, number)
    return sample_video(rng, unseen=settings.unseen, seconds=settings.video_seconds)


def _scene_items(settings: WorldSettings) -> list[WorldItem]:
    made = [_scene(settings, number) for number in range(settings.images)]
    return [
        WorldItem(
            f"images/{number:05}.png",
            Medium.IMAGE,
            caption.text,
            sum(caption.describes(other) for other, _ in made) == 1,
        )
        for number, (_, caption) in enumerate(made)
    ]


def _tune_items(settings: WorldSettings) -> list[WorldItem]:
    made = [_tune(settings, number) for number in range(settings.tunes)]
    return [
        WorldItem(
            f"music/{number:05}.flac",
            Medium.AUDIO,
            caption.text,
            sum(caption.describes(other) for other, _, _ in made) == 1,
            duration_seconds=seconds,
        )
        for number, (_, caption, seconds) in enumerate(made)
    ]


def _video_items(settings: WorldSettings) -> list[WorldItem]:
    """One event of each video, drawn at random, is what its caption asks for."""
    made = [_video(settings, number) for number in range(settings.videos)]
    items = []
    for number, video in enumerate(made):
        chosen = _rng(settings, Medium.VIDEO, number).spawn(1)[0]
        event = video.events[int(chosen.integers(len(video.events)))]
        matching = sum(len(other.answers(event.caption)) for other in made)
        items.append(
            WorldItem(
                f"videos/{number:05}.mp4",
                Medium.VIDEO,
                event.caption.text,
                matching == 1,
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
        scene, _ = _scene(settings, number)
        Image.fromarray(render_scene(scene, PICTURE_PIXELS)).save(path)
    elif modality is Medium.AUDIO:
        tune, _, seconds = _tune(settings, number)
        soundfile.write(path, synthesize(tune, seconds, SAMPLE_RATE_HZ), SAMPLE_RATE_HZ)
    else:
        write_video(_video(settings, number), path, size_pixels=PICTURE_PIXELS)


def _write_captions(out: Path, items: list[WorldItem]) -> None:
    """captions.jsonl in each folder, as `embed` reads them."""
    by_folder: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        folder, _, name = item.file.partition("/")
        by_folder.setdefault(folder, []).append({"file": name, "caption": item.caption})
    for folder, rows in by_folder.items():
        with (out / folder / "captions.jsonl").open("w") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
