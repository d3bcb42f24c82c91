"""Moments in held-out demo videos, by Hammer and by baselines.

Captions are run through the public search, in the true video and in the whole corpus. A second set
holds videos whose events look alike and differ only in motion. The baselines are the best constant
window, which reads no input, `similarity`, which needs no training, and a flat network of the same
size and training as Hammer, if the folder holds one (`retrieval train hammer --flat`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

import numpy as np

from benchmarks.moments.demo_videos import embed_videos, write_videos
from benchmarks.moments.generated_queries import CaptionedMoment, TrueItemTask, search_moments
from benchmarks.results.outcome import Result
from benchmarks.speed.localize import ADDED_GOAL_MS, MINUTE_GOAL_MS, rows_of_a_minute
from retrieval.collection import Collection
from retrieval.demo.look_alikes import sample_look_alikes, unambiguous_events
from retrieval.demo.world import HELD_OUT, WorldSettings, load_world, write_world
from retrieval.evaluation.ranking import success_at_k
from retrieval.localization.choose import BUNDLED, choose_localizers
from retrieval.localization.hammer_files import read_space_digest
from retrieval.localization.spans import overlap
from retrieval.targets import Target
from retrieval.training.bundled.hammer import train_demo_hammer
from retrieval.training.moments.objective import HammerSettings
from retrieval.training.moments.train import HammerOptions
from retrieval.types import Medium, MomentQuery

logger = logging.getLogger(__name__)

SUITE: Final = "demo-moments"
SEED: Final = 30_000
VIDEOS, LOOK_ALIKE_VIDEOS = 500, 150
MODEL: Final = "tiny-image"
GOALS: Final = {0.5: 0.85, 0.7: 0.70}
CORPUS_GOAL, VIDEO_GOAL = 0.50, 0.85
TIMED_QUERIES: Final = 50
NOT_FOUND: Final = 999
"""Rank of a video without a moment among the hits."""


def run(*, folder: Path, scale: float = 1.0) -> list[Result]:
    """Write and embed the held-out videos, and run all queries with every localizer.

    Args:
        folder: Folder of videos, collections and trained models.
        scale: Share of the videos and of the training.
    """
    usual = _corpus_queries(folder / "corpus", max(10, round(VIDEOS * scale)))
    look_alikes = _look_alike_queries(folder / "alike", max(5, round(LOOK_ALIKE_VIDEOS * scale)))
    corpus = embed_videos(folder / "corpus", (MODEL,)).root
    alike = embed_videos(folder / "alike", (MODEL,)).root
    localizers = _localizers(folder, Collection.open(corpus).snapshot.spaces[0].digest, scale)
    results: list[Result] = []
    for name, localizer in localizers.items():
        goals = GOALS if name == "Hammer" else {}
        opened = Collection.open(corpus, localizer=localizer)
        task = TrueItemTask(SUITE, f"moment in the true video, {name}", usual, Target.VIDEO, goals)
        results += task.measure(opened)
        results += _in_corpus(opened, usual, name)
        hard = Collection.open(alike, localizer=localizer)
        task = TrueItemTask(SUITE, f"moment among look-alikes, {name}", look_alikes, Target.VIDEO)
        results += task.measure(hard)
        logger.info("queries run with %s", name)
    return results + _speed(corpus, localizers["Hammer"], usual)


def _localizers(folder: Path, digest: str, scale: float) -> dict[str, str]:
    """Return localizers by name, and train a Hammer for the space if the bundled one is not."""
    hammer = "hammer"
    if read_space_digest(BUNDLED) != digest:
        own = folder / "hammer"
        if read_space_digest(own) != digest:
            settings = HammerSettings(max(1, round(HammerSettings().steps * scale)))
            train_demo_hammer(HammerOptions(own, settings), scale=scale)
        hammer = f"hammer:{own}"
    localizers = {"Hammer": hammer, "similarity": "similarity"}
    flat = folder / "flat"
    if read_space_digest(flat) == digest:
        localizers["flat ablation"] = f"hammer:{flat}"
    else:
        logger.info("no flat network for this space in %s: the flat ablation is left out", flat)
    return localizers


def _corpus_queries(folder: Path, videos: int) -> list[CaptionedMoment]:
    world = folder / "world"
    if not (world / "truth.jsonl").exists():
        write_world(world, WorldSettings(SEED, 0, 0, videos, video_seconds=(20, 60)))
    return [
        CaptionedMoment(
            Path(item.file).name,
            item.caption,
            (item.start_seconds or 0.0, item.end_seconds or 0.0),
            item.duration_seconds or 0.0,
        )
        for item in load_world(world).of(Medium.VIDEO)
        if item.unambiguous
    ]


def _look_alike_queries(folder: Path, count: int) -> list[CaptionedMoment]:
    """Write videos of look-alikes; return a caption per event that describes its motion."""
    videos = [
        sample_look_alikes(np.random.default_rng([HELD_OUT, SEED, 9, number]))
        for number in range(count)
    ]
    paths = write_videos(videos, folder / "world" / "videos")
    logger.info("%d videos of look-alikes written", count)
    return [
        CaptionedMoment(
            path.name,
            event.caption.text,
            (event.start_seconds, event.end_seconds),
            video.duration_seconds,
        )
        for video, path in zip(videos, paths, strict=True)
        for event in unambiguous_events(video)
    ]


def _in_corpus(
    collection: Collection, queries: Sequence[CaptionedMoment], localizer: str
) -> list[Result]:
    """Score the best moment of all videos, and the videos ranked by their best moments."""
    correct, ranks = 0, []
    for query in queries:
        hits = search_moments(collection, query, Target.VIDEO).hits
        best = hits[0]
        span = (best.start_seconds or 0.0, best.end_seconds or 0.0)
        correct += best.uri.endswith(query.file) and overlap(span, query.span) >= 0.5
        videos = dict.fromkeys(hit.uri for hit in hits)
        positions = (n for n, uri in enumerate(videos, 1) if uri.endswith(query.file))
        ranks.append(next(positions, NOT_FOUND))
    pool = len(collection.snapshot.item_ids())
    is_hammer = localizer == "Hammer"
    task = f"text → moment in a corpus, {localizer}"
    return [
        Result(SUITE, task, "R@1, IoU 0.5", correct / len(queries),
               CORPUS_GOAL if is_hammer else None, pool=pool),
        Result(SUITE, task, "video R@1", success_at_k(ranks, 1), chance=1 / pool, pool=pool),
        Result(SUITE, task, "video R@10", success_at_k(ranks, 10),
               VIDEO_GOAL if is_hammer else None, chance=10 / pool, pool=pool),
    ]  # fmt: skip


def _speed(root: Path, hammer: str, queries: Sequence[CaptionedMoment]) -> list[Result]:
    """Time Hammer on a video of one minute, and within searches of the corpus."""
    collection = Collection.open(root, localizer=hammer)
    space = collection.snapshot.spaces[0]
    localizer = choose_localizers(hammer, [space])[0]
    minute = rows_of_a_minute(space.dim, space.sampling.frames_per_second)
    alone_ms = []
    for query in queries[:TIMED_QUERIES]:
        moment_query = MomentQuery(minute.vectors[0], query.caption)
        start = perf_counter()
        localizer.localize(moment_query, [minute])
        alone_ms.append(1e3 * (perf_counter() - start))
    added_ms = [
        search_moments(collection, query, Target.VIDEO, k=10).took_ms.localize
        for query in queries[:TIMED_QUERIES]
    ]
    return [
        Result(SUITE, "localize a one-minute video", "ms, median", median(alone_ms),
               MINUTE_GOAL_MS),
        Result(SUITE, f"localize a query's top {localizer.max_items}", "ms, median",
               median(added_ms), ADDED_GOAL_MS, pool=len(collection.snapshot.item_ids())),
    ]  # fmt: skip
