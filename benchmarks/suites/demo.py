"""The bundled models on a held-out demo world, through the public interface.

Each caption is a query whose relevant item is the file that it was written for. The goals apply to
captions that describe exactly one file of the gallery; their share is the row `ceiling`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from benchmarks.moments.generated_queries import CaptionedMoment, TrueItemTask, recall_results
from benchmarks.results.outcome import Outcome, QueryValues, Result
from retrieval.collection import Collection
from retrieval.demo.world import World, WorldSettings, write_world
from retrieval.embedding.options import EmbedOptions
from retrieval.evaluation.ranking import success_at_k
from retrieval.localization.spans import Span
from retrieval.targets import Target, TextMode
from retrieval.types import Medium

logger = logging.getLogger(__name__)

SUITE = "demo"
SEED = 20_000

IMAGES, TUNES, VIDEOS = 1_000, 500, 300
FOLDERS = ("images", "music", "videos")


@dataclass(frozen=True, slots=True)
class _Ranking:
    """One ranking task, with the goals of R@1 and R@10."""

    task: str
    modality: Medium
    target: Target
    goals: tuple[float | None, float | None]


_RANKINGS = (
    _Ranking("text → image", Medium.IMAGE, Target.IMAGE, (0.75, 0.98)),
    _Ranking("text → music", Medium.AUDIO, Target.MUSIC, (0.50, 0.92)),
    _Ranking("text → video, frame mean", Medium.VIDEO, Target.VIDEO, (None, 0.80)),
)
_UNSEEN = _Ranking("text → image, unseen combinations", Medium.IMAGE, Target.IMAGE, (None, 0.90))


def run(*, folder: Path, scale: float = 1.0) -> Outcome:
    """Generate, embed and index the held-out world, and run every caption.

    Args:
        folder: Folder of worlds and collections.
        scale: Share of the full galleries.
    """
    images, tunes, videos = (max(10, round(n * scale)) for n in (IMAGES, TUNES, VIDEOS))
    settings = WorldSettings(SEED, images, tunes, videos, video_seconds=(20.0, 60.0))
    collection, world = _embedded(folder / "seen", settings)
    outcomes = [_rank(collection, world, ranking) for ranking in _RANKINGS]
    outcomes.append(Outcome(_moments(collection, world)))
    unseen = WorldSettings(SEED, images, 0, 0, unseen=True)
    outcomes.append(_rank(*_embedded(folder / "unseen", unseen), _UNSEEN))
    return Outcome.merged(outcomes)


def _embedded(folder: Path, settings: WorldSettings) -> tuple[Collection, World]:
    world = write_world(folder / "world", settings)
    collection = Collection(folder / "collection")
    paths = [folder / "world" / name for name in FOLDERS]
    report = collection.add(*paths, options=EmbedOptions(models=("tiny",)))
    added = sum(report.added.values())
    logger.info("%d items embedded in %.0f s", added, report.seconds)
    collection.index()
    return collection, world


def _rank(collection: Collection, world: World, ranking: _Ranking) -> Outcome:
    """Compute R@1 and R@10 of the unambiguous captions, and their share."""
    items = world.of(ranking.modality)
    queries = [item for item in items if item.unambiguous]
    medium = Medium.AUDIO if ranking.modality is Medium.AUDIO else Medium.IMAGE
    spaces = _spaces(collection, medium)
    ranks = []
    for item in queries:
        hits = collection.answer(
            item.caption, to=[ranking.target], k=10, spaces=spaces, text=TextMode.OFF
        ).hits
        ranks.append(next((hit.rank for hit in hits if hit.uri.endswith(item.file)), 11))
    task, pool = ranking.task, len(items)
    results = [
        Result(SUITE, task, "ceiling", len(queries) / pool, goal=0.95, pool=pool),
        *(
            Result(SUITE, task, f"R@{k}", success_at_k(ranks, k), goal, chance=k / pool, pool=pool)
            for k, goal in zip((1, 10), ranking.goals, strict=True)
        ),
    ]
    ids = [item.file for item in queries]
    return Outcome(results, [QueryValues.of_ranks(SUITE, task, ids, ranks, 1, 10)])


def _spaces(collection: Collection, medium: Medium) -> list[str]:
    return [space.name for space in collection.snapshot.spaces if medium in space.media]


def _moments(collection: Collection, world: World) -> list[Result]:
    """Compute R1@0.5 and R1@0.7 of the similarity localizer in the true video."""
    queries = [
        CaptionedMoment(
            item.file,
            item.caption,
            (item.start_seconds or 0.0, item.end_seconds or 0.0),
            item.duration_seconds or 0.0,
        )
        for item in world.of(Medium.VIDEO)
        if item.unambiguous
    ]
    spaces = _spaces(collection, Medium.VIDEO)
    collection = Collection.open(collection.root, localizer="similarity")
    name = "text → moment in the true video, similarity"
    task = TrueItemTask(SUITE, name, queries, Target.VIDEO, {0.5: 0.45})
    return recall_results(task, [_best_moment(collection, query, spaces) for query in queries])


def _best_moment(collection: Collection, query: CaptionedMoment, spaces: list[str]) -> Span | None:
    name = query.file.replace("'", "''")
    hits = collection.answer(
        query.caption,
        to=[Target.VIDEO, Target.MOMENT],
        k=1,
        where=f"uri LIKE '%{name}'",
        spaces=spaces,
        text=TextMode.OFF,
    ).hits
    if not hits or hits[0].start_seconds is None or hits[0].end_seconds is None:
        return None
    return hits[0].start_seconds, hits[0].end_seconds
