"""Part of `bench run demo`: videos that only the course of time tells apart.

Pairs of videos show two events in both orders, or one scene that moves in opposite ways. A caption
is true of one of the two; the mean of the frames can do no better than guess between them.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.report import Result
from retrieval.collection import Collection
from retrieval.demo.sequences import SequenceCaption, motion_twins, order_twins
from retrieval.demo.videos import Video, write_video
from retrieval.demo.world import HELD_OUT
from retrieval.embed_options import EmbedOptions
from retrieval.evaluation.ranking import success_at_k
from retrieval.targets import Target

SEED: Final = 20_000
PAIRS: Final = 75
"""Of each kind: 300 videos."""

GAIN: Final = 0.20
"""R@1 that the video-text model must add to the frame mean."""


def run(
    suite: str, folder: Path, models: dict[str, str], say: Callable[[str], None], scale: float
) -> list[Result]:
    """Write, embed and index the videos, and ask every caption of every model's space.

    Args:
        suite: Name of the suite in the results.
        folder: Where to write videos and collection.
        models: What a row is called → its encoder; the first one is the baseline.
        say: Told about every step.
        scale: Share of the videos.
    """
    videos, asked = _twins(max(2, round(PAIRS * scale)))
    folder.mkdir(parents=True, exist_ok=True)
    paths = _write(videos, folder / "videos")
    collection = Collection(folder / "collection")
    options = EmbedOptions(models=tuple(models.values()))
    report = collection.add(folder / "videos", options=options)
    say(f"{sum(report.added.values())} videos of twins embedded in {report.seconds:.0f} s")
    collection.index()
    results: list[Result] = []
    for kind in asked:
        baseline: float | None = None
        for what, model in models.items():
            ranks = [
                _rank(collection, model, caption.text, paths[number].name)
                for number, caption in asked[kind]
            ]
            value, pool = success_at_k(ranks, 1), len(videos)
            goal = None if baseline is None else baseline + GAIN
            results.append(
                Result(suite, f"{kind} → video, {what}", "R@1", value, goal, baseline,
                       chance=1 / pool, pool=pool)
            )  # fmt: skip
            baseline = value if baseline is None else baseline
    return results


def _twins(pairs: int) -> tuple[list[Video], dict[str, list[tuple[int, SequenceCaption]]]]:
    """Videos, and by kind of caption those that are true of one video only, with its number."""
    videos: list[Video] = []
    asked: dict[str, list[tuple[int, SequenceCaption]]] = {}
    for stream, (kind, draw) in enumerate(
        (("captions of two events in order", order_twins), ("captions of motion", motion_twins))
    ):
        said = asked.setdefault(kind, [])
        for number in range(pairs):
            rng = np.random.default_rng([HELD_OUT, SEED, 11 + stream, number])
            for video, caption in draw(rng):
                said.append((len(videos), caption))
                videos.append(video)
    for kind, said in asked.items():
        asked[kind] = [one for one in said if sum(map(one[1].describes, videos)) == 1]
    return videos, asked


def _write(videos: list[Video], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:05}.mp4" for number in range(len(videos))]
    missing = [pair for pair in zip(videos, paths, strict=True) if not pair[1].exists()]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(_write_one, missing, chunksize=8))
    return paths


def _write_one(job: tuple[Video, Path]) -> None:
    video, path = job
    partial = path.with_suffix(".partial.mp4")
    write_video(video, partial)
    partial.rename(path)


def _rank(collection: Collection, model: str, caption: str, file: str) -> int:
    spaces = [space.name for space in collection.snapshot.spaces if space.encoder == model]
    hits = collection.answer(caption, to=[Target.VIDEO], k=10, spaces=spaces).hits
    return next((hit.rank for hit in hits if hit.uri.endswith(file)), 11)
