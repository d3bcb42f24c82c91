"""Videos of the demo world as files, and as a collection: what several suites are asked about."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from retrieval.collection import Collection
from retrieval.demo.videos import Video, write_video
from retrieval.embedding.options import EmbedOptions


def write_videos(videos: Sequence[Video], folder: Path) -> list[Path]:
    """Write each video that is not there yet, in worker processes; gives all files in order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:05}.mp4" for number in range(len(videos))]
    missing = [pair for pair in zip(videos, paths, strict=True) if not pair[1].exists()]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(_write, missing, chunksize=4))
    return paths


def _write(job: tuple[Video, Path]) -> None:
    video, path = job
    partial = path.with_suffix(".partial.mp4")
    write_video(video, partial)
    partial.rename(path)


def embed_videos(place: Path, models: tuple[str, ...], say: Callable[[str], None]) -> Collection:
    """Embed and index the videos in `place`/world into the collection beside them."""
    collection = Collection(place / "collection")
    report = collection.add(place / "world" / "videos", options=EmbedOptions(models=models))
    say(f"{sum(report.added.values())} videos embedded in {report.seconds:.0f} s")
    collection.index()
    return collection
