"""`bench run demo-moments`: moments in held-out demo videos, by Hammer and by what it must beat.

Captions are asked through the public search, of the true video alone and of the whole corpus. A
second set holds videos whose events look alike and only move differently. Beside Hammer stand the
best constant window, which has seen nothing, `similarity`, which needs no training, and, where
`retrieval train hammer --flat --out FOLDER/demo-moments/flat` has made one, a flat network of as
many parameters, trained in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

import numpy as np

from benchmarks.moments.demo_videos import embed_videos, write_videos
from benchmarks.moments.questions import Asked, ask, in_true_item
from benchmarks.results.outcome import Outcome
from benchmarks.results.tables import Result
from benchmarks.speed.localize import ADDED_GOAL_MS, MINUTE_GOAL_MS, rows_of_a_minute
from retrieval.collection import Collection
from retrieval.demo.look_alikes import sample_look_alikes, telling_events
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

SUITE: Final = "demo-moments"
SEED: Final = 30_000
VIDEOS, LOOK_ALIKE_VIDEOS = 500, 150
MODEL: Final = "tiny-image"
GOALS: Final = {0.5: 0.85, 0.7: 0.70}
CORPUS_GOAL, VIDEO_GOAL = 0.50, 0.85
TIMED: Final = 50


def run(*, say: Callable[[str], None], folder: Path, scale: float = 1.0) -> Outcome:
    """Write and embed the held-out videos, and ask every localizer.

    Args:
        say: Told about every step.
        folder: Where to write videos, collections and what is trained.
        scale: Share of the videos and of the training; figures are comparable at 1.
    """
    corpus = _corpus(folder / "corpus", max(10, round(VIDEOS * scale)), say)
    alike = _look_alikes(folder / "alike", max(5, round(LOOK_ALIKE_VIDEOS * scale)), say)
    for place in (folder / "corpus", folder / "alike"):
        embed_videos(place, (MODEL,), say)
    digest = Collection.open(folder / "corpus" / "collection").snapshot.spaces[0].digest
    hammer = "hammer"
    if read_space_digest(BUNDLED) != digest:
        hammer = _trained(folder / "hammer", digest, scale, say)
    names = {"Hammer": hammer, "similarity": "similarity"}
    flat = folder / "flat"
    if read_space_digest(flat) == digest:
        names["flat ablation"] = f"hammer:{flat}"
    else:
        say(f"no flat network: `retrieval train hammer --flat --out {flat}` makes one")
    results: list[Result] = []
    for what, localizer in names.items():
        goals = GOALS if what == "Hammer" else {}
        opened = Collection.open(folder / "corpus" / "collection", localizer=localizer)
        results += in_true_item(
            SUITE, opened, corpus, Target.VIDEO, f"moment in the true video, {what}", goals
        )
        results += _in_corpus(opened, corpus, what)
        hard = Collection.open(folder / "alike" / "collection", localizer=localizer)
        results += in_true_item(
            SUITE, hard, alike, Target.VIDEO, f"moment among look-alikes, {what}", {}
        )
        say(f"{what} asked")
    return Outcome(results + _speed(folder / "corpus" / "collection", hammer, corpus))


def _trained(out: Path, digest: str, scale: float, say: Callable[[str], None]) -> str:
    """The localizer in a folder, trained now where it is not there for this space."""
    if read_space_digest(out) != digest:
        settings = HammerSettings(max(1, round(HammerSettings().steps * scale)))
        train_demo_hammer(HammerOptions(out, settings), scale=scale)
    return f"hammer:{out}"


# ---------------------------------------------------------------- what is asked


def _corpus(place: Path, videos: int, say: Callable[[str], None]) -> list[Asked]:
    world = place / "world"
    if not (world / "truth.jsonl").exists():
        write_world(world, WorldSettings(SEED, 0, 0, videos, video_seconds=(20, 60)), progress=say)
    return [
        Asked(
            Path(item.file).name,
            item.caption,
            (item.start_seconds or 0.0, item.end_seconds or 0.0),
            item.duration_seconds or 0.0,
        )
        for item in load_world(world).of(Medium.VIDEO)
        if item.unambiguous
    ]


def _look_alikes(place: Path, count: int, say: Callable[[str], None]) -> list[Asked]:
    """Videos of look-alikes, and a caption of each event that says how it moves."""
    videos = [
        sample_look_alikes(np.random.default_rng([HELD_OUT, SEED, 9, number]))
        for number in range(count)
    ]
    paths = write_videos(videos, place / "world" / "videos")
    say(f"{count} videos of look-alikes written")
    return [
        Asked(
            path.name,
            event.caption.text,
            (event.start_seconds, event.end_seconds),
            video.duration_seconds,
        )
        for video, path in zip(videos, paths, strict=True)
        for event in telling_events(video)
    ]


# ---------------------------------------------------------------- figures


def _in_corpus(collection: Collection, asked: Sequence[Asked], what: str) -> list[Result]:
    """The best moment of all videos, and the videos in the order of their best moments."""
    right, ranks = 0, []
    for one in asked:
        hits = ask(collection, one, Target.VIDEO).hits
        best = hits[0]
        span = (best.start_seconds or 0.0, best.end_seconds or 0.0)
        right += best.uri.endswith(one.file) and overlap(span, one.span) >= 0.5
        videos = list(dict.fromkeys(hit.uri for hit in hits))
        ranks.append(next((n for n, uri in enumerate(videos, 1) if uri.endswith(one.file)), 999))
    pool = len(collection.snapshot.living_ids())
    goals = (CORPUS_GOAL, None, VIDEO_GOAL) if what == "Hammer" else (None, None, None)
    task = f"text → moment in a corpus, {what}"
    return [
        Result(SUITE, task, "R@1, IoU 0.5", right / len(asked), goals[0], pool=pool),
        Result(SUITE, task, "video R@1", success_at_k(ranks, 1), goals[1], chance=1 / pool,
               pool=pool),
        Result(SUITE, task, "video R@10", success_at_k(ranks, 10), goals[2], chance=10 / pool,
               pool=pool),
    ]  # fmt: skip


def _speed(root: Path, name: str, asked: Sequence[Asked]) -> list[Result]:
    """Milliseconds for a video of one minute, and of localizing in a query over the corpus."""
    hammer = Collection.open(root, localizer=name)
    space = hammer.snapshot.spaces[0]
    localizer = choose_localizers(name, [space])[0]
    minute = rows_of_a_minute(space.dim, space.sampling.frames_per_second)
    took = []
    for one in asked[:TIMED]:
        query = MomentQuery(minute.vectors[0], one.caption)
        began = perf_counter()
        localizer.localize(query, [minute])
        took.append(1e3 * (perf_counter() - began))
    added = [ask(hammer, one, Target.VIDEO, k=10).took_ms.localize for one in asked[:TIMED]]
    return [
        Result(SUITE, "localize a one-minute video", "ms, median", median(took), MINUTE_GOAL_MS),
        Result(SUITE, f"localize a query's top {localizer.max_items}", "ms, median", median(added),
               ADDED_GOAL_MS, pool=len(hammer.snapshot.living_ids())),
    ]  # fmt: skip
