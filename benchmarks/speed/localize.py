"""Times the localization of moments, by Hammer and by `similarity`.

Ten generated videos of a minute each are embedded with the bundled image model, whose frames the
bundled Hammer reads. The time for the top ten of a query is `took_ms.localize` of a whole search.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.moments.demo_videos import embed_videos
from benchmarks.results.outcome import Result
from benchmarks.speed.harness import Way, in_turns, one_thread, row, seconds
from retrieval.collection import Collection
from retrieval.demo.world import World, WorldSettings, load_world, write_world
from retrieval.localization.choose import choose_localizers
from retrieval.protocols import Localizer
from retrieval.targets import Target, TextMode
from retrieval.types import Medium, MomentQuery, TimedRows

logger = logging.getLogger(__name__)

MODEL: Final = "tiny-image"
LOCALIZERS: Final = ("hammer", "similarity")
SEED: Final = 40_000
VIDEOS, SECONDS = 10, 60
TURNS: Final = 21
MINUTE_GOAL_MS, ADDED_GOAL_MS = 30.0, 300.0


def run(*, folder: Path, scale: float = 1.0) -> list[Result]:
    """Write and embed the videos, then localize on one thread."""
    length = max(4.0, SECONDS * scale)
    logger.info("writing %d videos of %g s", VIDEOS, length)
    world = written_world(folder / "world", length)
    collection = embed_videos(folder, (MODEL,))
    with one_thread():
        logger.info("localizing in one video")
        minute = _one_video(collection)
        logger.info("localizing in the top ten of a query")
        return [*minute, *_top_ten(collection.root, world)]


def written_world(folder: Path, length: float) -> World:
    """Write videos of a length in seconds unless the folder holds them."""
    if not (folder / "truth.jsonl").exists():
        settings = WorldSettings(SEED, 0, 0, VIDEOS, video_seconds=(length, length))
        write_world(folder, settings)
    return load_world(folder)


def rows_of_a_minute(dim: int, rows_per_second: float) -> TimedRows:
    """Generate random unit rows over a minute; times do not depend on the content."""
    count = round(SECONDS * rows_per_second)
    rows = np.random.default_rng(0).normal(size=(count, dim))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    edges = np.arange(count + 1) / rows_per_second
    return TimedRows(edges[:-1], edges[1:], rows.astype(np.float32))


def _one_video(collection: Collection) -> list[Result]:
    """Time a video of one minute: Hammer reads frames, `similarity` reads segments."""
    space = collection.snapshot.spaces[0]
    ways = {}
    for name in LOCALIZERS:
        localizer = choose_localizers(name, [space], device="cpu")[0]
        sampling = space.sampling
        rate = sampling.frames_per_second if localizer.reads_frames else 1 / sampling.clip_seconds
        ways[name] = _localizing(localizer, rows_of_a_minute(space.dim, rate))
    times = in_turns(ways, TURNS, warm_ups=2)
    task = "localize a one-minute video, one thread"
    hammer, similarity = (times[name] for name in LOCALIZERS)
    return [
        row(task, "Hammer's time ÷ similarity's", hammer / similarity),
        row(task, "ms, Hammer", hammer, MINUTE_GOAL_MS),
        row(task, "ms, similarity", similarity),
    ]


def _localizing(localizer: Localizer, minute: TimedRows) -> Way:
    query = MomentQuery(minute.vectors[0], "a red circle moves to the left")
    return lambda turn: 1e3 * seconds(lambda: localizer.localize(query, [minute]))


def _top_ten(root: Path, world: World) -> list[Result]:
    """Time the localization within searches for ten videos."""
    captions = [item.caption for item in world.of(Medium.VIDEO)]
    opened = {name: Collection.open(root, localizer=name) for name in LOCALIZERS}

    def asking(name: str) -> Way:
        def way(turn: int) -> float:
            caption = captions[turn % len(captions)]
            answer = opened[name].answer(
                caption, to=[Target.VIDEO, Target.MOMENT], k=VIDEOS, text=TextMode.OFF
            )
            if not answer.hits:
                raise RuntimeError(f"{caption!r} returned no moment")
            return answer.took_ms.localize

        return way

    times = in_turns({name: asking(name) for name in LOCALIZERS}, TURNS, warm_ups=2)
    hammer, similarity = (times[name] for name in LOCALIZERS)
    pool = len(captions)
    task = f"localize a query's top {VIDEOS}, one thread"
    return [
        row(task, "Hammer's time ÷ similarity's", hammer / similarity, pool=pool),
        row(task, "ms, Hammer", hammer, ADDED_GOAL_MS, pool=pool),
        row(task, "ms, similarity", similarity, pool=pool),
    ]
