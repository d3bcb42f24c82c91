"""A video-text model and the mean of frames on held-out demo videos.

Captions of single events are queries in usual videos. Further queries have pairs of videos that
differ only in time: two events in both orders, or one scene with opposite motions. A caption
describes one video of a pair, and the mean of the frames cannot distinguish the two. Each model is
measured alone, and both spaces together as in a search with `tiny`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.moments.demo_videos import embed_videos, write_videos
from benchmarks.results.outcome import Outcome, QueryValues, Result
from retrieval.collection import Collection
from retrieval.demo.sequences import SequenceCaption, motion_twins, order_twins
from retrieval.demo.videos import Video
from retrieval.demo.world import HELD_OUT, WorldSettings, write_world
from retrieval.evaluation.ranking import success_at_k
from retrieval.targets import Target, TextMode
from retrieval.types import Medium

SUITE: Final = "demo-video"
SEED: Final = 20_000
VIDEOS: Final = 300
PAIRS: Final = 75
"""Pairs of videos of each type of caption, 300 videos in all."""

MODELS: Final = ("tiny-image", "tiny-video")
MODELS_BY_NAME: Final[dict[str, Sequence[str]]] = {
    "frame mean": ("tiny-image",),
    "video-text": ("tiny-video",),
    "both": MODELS,
}
RECALL_GOAL: Final = 0.90
GAIN: Final = 0.20
"""R@1 that the video-text model must add to the frame mean."""


@dataclass(frozen=True, slots=True)
class _Gallery:
    """A collection of videos, and captions with the name of the file that each describes."""

    collection: Collection
    captions: list[tuple[str, str]]
    pool: int

    def ranks(self, models: Sequence[str]) -> list[int]:
        """Rank the described file in the spaces of some models; 11 if it is no hit."""
        spaces = [
            space.name for space in self.collection.snapshot.spaces if space.encoder in models
        ]
        ranks = []
        for caption, file in self.captions:
            hits = self.collection.answer(
                caption, to=[Target.VIDEO], k=10, spaces=spaces, text=TextMode.OFF
            ).hits
            ranks.append(next((hit.rank for hit in hits if hit.uri.endswith(file)), 11))
        return ranks


def run(*, folder: Path, scale: float = 1.0) -> Outcome:
    """Write, embed and index the videos, and run every caption in the spaces of both models.

    Args:
        folder: Folder of videos and collections.
        scale: Share of the videos.
    """
    settings = WorldSettings(SEED, 0, 0, max(10, round(VIDEOS * scale)), video_seconds=(20, 60))
    world = write_world(folder / "usual" / "world", settings)
    captions = [
        (item.caption, Path(item.file).name) for item in world.of(Medium.VIDEO) if item.unambiguous
    ]
    usual = _Gallery(embed_videos(folder / "usual", MODELS), captions, settings.videos)
    outcomes = [_usual_results(usual)]
    videos, twins = _twins(max(2, round(PAIRS * scale)))
    paths = write_videos(videos, folder / "twins" / "world" / "videos")
    collection = embed_videos(folder / "twins", MODELS)
    for name, numbered in twins.items():
        captions = [(caption.text, paths[number].name) for number, caption in numbered]
        outcomes.append(_twin_results(name, _Gallery(collection, captions, len(videos))))
    return Outcome.merged(outcomes)


def _usual_results(gallery: _Gallery) -> Outcome:
    outcomes = []
    for name, models in MODELS_BY_NAME.items():
        ranks, pool = gallery.ranks(models), gallery.pool
        task, goal = f"text → video, {name}", None if name == "frame mean" else RECALL_GOAL
        results = [
            Result(SUITE, task, "R@1", success_at_k(ranks, 1), chance=1 / pool, pool=pool),
            Result(SUITE, task, "R@10", success_at_k(ranks, 10), goal, chance=10 / pool, pool=pool),
        ]
        ids = [file for _, file in gallery.captions]
        outcomes.append(Outcome(results, [QueryValues.of_ranks(SUITE, task, ids, ranks, 1, 10)]))
    return Outcome.merged(outcomes)


def _twin_results(name: str, gallery: _Gallery) -> Outcome:
    """Compute R@1 of each model, with the frame mean as baseline of the others."""
    results: list[Result] = []
    values: list[QueryValues] = []
    ids = [file for _, file in gallery.captions]
    for model, models in MODELS_BY_NAME.items():
        ranks = gallery.ranks(models)
        baseline = results[0].value if results else None
        goal = None if baseline is None else baseline + GAIN
        task = f"{name} → video, {model}"
        results.append(
            Result(SUITE, task, "R@1", success_at_k(ranks, 1), goal, baseline,
                   chance=1 / gallery.pool, pool=gallery.pool)
        )  # fmt: skip
        values.append(QueryValues.of_ranks(SUITE, task, ids, ranks, 1))
    return Outcome(results, values)


def _twins(pairs: int) -> tuple[list[Video], dict[str, list[tuple[int, SequenceCaption]]]]:
    """Generate videos and, by type, captions that describe one video, with its number."""
    videos: list[Video] = []
    captions: dict[str, list[tuple[int, SequenceCaption]]] = {}
    for stream, (name, draw) in enumerate(
        (("captions of two events in order", order_twins), ("captions of motion", motion_twins))
    ):
        numbered = captions.setdefault(name, [])
        for number in range(pairs):
            rng = np.random.default_rng([HELD_OUT, SEED, 11 + stream, number])
            for video, caption in draw(rng):
                numbered.append((len(videos), caption))
                videos.append(video)
    for name, numbered in captions.items():
        captions[name] = [pair for pair in numbered if sum(map(pair[1].describes, videos)) == 1]
    return videos, captions
