"""Writes demo videos to files, and embeds them into a collection."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from retrieval.collection import Collection
from retrieval.demo.videos import Video, write_video
from retrieval.embedding.options import EmbedOptions

logger = logging.getLogger(__name__)


def write_videos(videos: Sequence[Video], folder: Path) -> list[Path]:
    """Write the videos that do not exist yet, in worker processes; return all files in order."""
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


def embed_videos(folder: Path, models: tuple[str, ...]) -> Collection:
    """Embed and index the videos in `folder`/world into `folder`/collection."""
    collection = Collection(folder / "collection")
    report = collection.add(folder / "world" / "videos", options=EmbedOptions(models=models))
    added = sum(report.added.values())
    logger.info("%d videos embedded in %.0f s", added, report.seconds)
    collection.index()
    return collection
