"""`bench speed localize`: how long moments take, by Hammer and by `similarity`.

Ten generated videos of a minute each are embedded by the bundled image model, whose frames the
bundled Hammer reads. A query's top ten is measured inside a whole search, and is what it says in
`took_ms.localize`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.moments.demo_videos import embed_videos
from benchmarks.results.tables import Result
from benchmarks.speed.harness import Way, in_turns, one_thread, row, seconds
from retrieval.collection import Collection
from retrieval.demo.world import World, WorldSettings, load_world, write_world
from retrieval.localization.choose import choose_localizers
from retrieval.protocols import Localizer
from retrieval.targets import Target
from retrieval.types import Medium, MomentQuery, TimedRows

MODEL: Final = "tiny-image"
LOCALIZERS: Final = ("hammer", "similarity")
SEED: Final = 40_000
VIDEOS, SECONDS = 10, 60
TURNS: Final = 21
MINUTE_GOAL_MS, ADDED_GOAL_MS = 30.0, 300.0


def run(*, say: Callable[[str], None], folder: Path, scale: float = 1.0) -> list[Result]:
    """Write and embed the videos, then localize on one thread."""
    length = max(4.0, SECONDS * scale)
    say(f"writing {VIDEOS} videos of {length:g} s")
    world = written_world(folder / "world", length)
    collection = embed_videos(folder, (MODEL,), say)
    with one_thread():
        say("localizing in one video")
        minute = _one_video(collection)
        say("localizing in a query's top ten")
        return [*minute, *_top_ten(collection.root, world)]


def written_world(folder: Path, length: float) -> World:
    """Videos of so many seconds, written where they are not there yet."""
    if not (folder / "truth.jsonl").exists():
        settings = WorldSettings(SEED, 0, 0, VIDEOS, video_seconds=(length, length))
        write_world(folder, settings)
    return load_world(folder)


def rows_of_a_minute(dim: int, rows_per_second: float) -> TimedRows:
    """Random unit rows at even steps over a minute: localizers take as long whatever they see."""
    count = round(SECONDS * rows_per_second)
    rows = np.random.default_rng(0).normal(size=(count, dim))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    edges = np.arange(count + 1) / rows_per_second
    return TimedRows(edges[:-1], edges[1:], rows.astype(np.float32))


def _one_video(collection: Collection) -> list[Result]:
    """Milliseconds of a minute: Hammer reads its frames, `similarity` its segments."""
    space = collection.snapshot.spaces[0]
    ways = {}
    for name in LOCALIZERS:
        localizer = choose_localizers(name, [space], device="cpu")[0]
        sampling = space.sampling
        rate = sampling.frames_per_second if localizer.reads_frames else 1 / sampling.clip_seconds
        ways[name] = _localizing(localizer, rows_of_a_minute(space.dim, rate))
    taken = in_turns(ways, TURNS, warm_ups=2)
    task = "localize a one-minute video, one thread"
    hammer, similarity = (taken[name] for name in LOCALIZERS)
    return [
        row(task, "Hammer's time ÷ similarity's", hammer / similarity),
        row(task, "ms, Hammer", hammer, MINUTE_GOAL_MS),
        row(task, "ms, similarity", similarity),
    ]


def _localizing(localizer: Localizer, minute: TimedRows) -> Way:
    query = MomentQuery(minute.vectors[0], "a red circle moves to the left")
    return lambda turn: 1e3 * seconds(lambda: localizer.localize(query, [minute]))


def _top_ten(root: Path, world: World) -> list[Result]:
    """Milliseconds that moments add to a search for ten videos."""
    captions = [item.caption for item in world.of(Medium.VIDEO)]
    opened = {name: Collection.open(root, localizer=name) for name in LOCALIZERS}

    def asking(name: str) -> Way:
        def way(turn: int) -> float:
            caption = captions[turn % len(captions)]
            answer = opened[name].answer(caption, to=[Target.VIDEO, Target.MOMENT], k=VIDEOS)
            if not answer.hits:
                raise RuntimeError(f"{caption!r} brought no moment")
            return answer.took_ms.localize

        return way

    taken = in_turns({name: asking(name) for name in LOCALIZERS}, TURNS, warm_ups=2)
    hammer, similarity = (taken[name] for name in LOCALIZERS)
    pool = len(captions)
    task = f"localize a query's top {VIDEOS}, one thread"
    return [
        row(task, "Hammer's time ÷ similarity's", hammer / similarity, pool=pool),
        row(task, "ms, Hammer", hammer, ADDED_GOAL_MS, pool=pool),
        row(task, "ms, similarity", similarity, pool=pool),
    ]
