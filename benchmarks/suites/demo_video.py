"""`bench run demo-video`: a video-text model beside the mean of frames, on held-out demo videos.

Captions of single events are asked in usual videos. Then come pairs of videos that only the course
of time tells apart: two events in both orders, or one scene that moves in opposite ways. A caption
is true of one of the two; the mean of the frames can do no better than guess between them. Asked
are each model alone, and both spaces together, as a search with `tiny` asks them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.moments.demo_videos import embed_videos, write_videos
from benchmarks.results.outcome import Outcome, QueryValues
from benchmarks.results.tables import Result
from retrieval.collection import Collection
from retrieval.demo.sequences import SequenceCaption, motion_twins, order_twins
from retrieval.demo.videos import Video
from retrieval.demo.world import HELD_OUT, WorldSettings, write_world
from retrieval.evaluation.ranking import success_at_k
from retrieval.targets import Target
from retrieval.types import Medium

SUITE: Final = "demo-video"
SEED: Final = 20_000
VIDEOS: Final = 300
PAIRS: Final = 75
"""Of each kind: 300 videos."""

MODELS: Final = ("tiny-image", "tiny-video")
ASKED: Final[dict[str, Sequence[str]]] = {
    "frame mean": ("tiny-image",),
    "video-text": ("tiny-video",),
    "both": MODELS,
}
FOUND_GOAL: Final = 0.90
GAIN: Final = 0.20
"""R@1 that the video-text model must add to the frame mean."""


def run(*, say: Callable[[str], None], folder: Path, scale: float = 1.0) -> Outcome:
    """Write, embed and index the videos, and ask every caption of both models' spaces.

    Args:
        say: Told about every step.
        folder: Where to write videos and collections.
        scale: Share of the videos; figures are comparable at 1.
    """
    settings = WorldSettings(SEED, 0, 0, max(10, round(VIDEOS * scale)), video_seconds=(20, 60))
    world = write_world(folder / "usual" / "world", settings)
    usual = embed_videos(folder / "usual", MODELS, say)
    alone = [item for item in world.of(Medium.VIDEO) if item.unambiguous]
    asked = [(item.caption, Path(item.file).name) for item in alone]
    outcome = Outcome([])
    for what, models in ASKED.items():
        goal = None if what == "frame mean" else FOUND_GOAL
        task = f"text → video, {what}"
        outcome = outcome.joined(_ranking(usual, models, asked, task, settings.videos, goal))
    videos, twins = _twins(max(2, round(PAIRS * scale)))
    paths = write_videos(videos, folder / "twins" / "world" / "videos")
    collection = embed_videos(folder / "twins", MODELS, say)
    for kind, said in twins.items():
        named = [(caption.text, paths[number].name) for number, caption in said]
        outcome = outcome.joined(_twin_results(collection, kind, named, len(videos)))
    return outcome


def _ranking(
    collection: Collection,
    models: Sequence[str],
    asked: list[tuple[str, str]],
    task: str,
    pool: int,
    goal: float | None,
) -> Outcome:
    ranks = [_rank(collection, models, caption, file) for caption, file in asked]
    results = [
        Result(SUITE, task, "R@1", success_at_k(ranks, 1), chance=1 / pool, pool=pool),
        Result(SUITE, task, "R@10", success_at_k(ranks, 10), goal, chance=10 / pool, pool=pool),
    ]
    ids = [file for _, file in asked]
    return Outcome(results, [QueryValues.of_ranks(SUITE, task, ids, ranks, 1, 10)])


def _twin_results(
    collection: Collection, kind: str, asked: list[tuple[str, str]], pool: int
) -> Outcome:
    """R@1 of each, the frame mean's beside the others."""
    results: list[Result] = []
    values: list[QueryValues] = []
    ids = [file for _, file in asked]
    for what, models in ASKED.items():
        ranks = [_rank(collection, models, caption, file) for caption, file in asked]
        baseline = results[0].value if results else None
        goal = None if baseline is None else baseline + GAIN
        task = f"{kind} → video, {what}"
        results.append(
            Result(SUITE, task, "R@1", success_at_k(ranks, 1), goal, baseline,
                   chance=1 / pool, pool=pool)
        )  # fmt: skip
        values.append(QueryValues.of_ranks(SUITE, task, ids, ranks, 1))
    return Outcome(results, values)


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


def _rank(collection: Collection, models: Sequence[str], caption: str, file: str) -> int:
    spaces = [space.name for space in collection.snapshot.spaces if space.encoder in models]
    hits = collection.answer(caption, to=[Target.VIDEO], k=10, spaces=spaces).hits
    return next((hit.rank for hit in hits if hit.uri.endswith(file)), 11)
