"""`bench run demo`: the bundled models on a held-out demo world, through the public commands.

Captions are asked as texts and the file they were written for must come back. The goals hold for
captions that describe one file of the gallery only; their share is the ceiling.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.results.outcome import Outcome, QueryValues
from benchmarks.results.tables import Result
from retrieval.collection import Collection
from retrieval.demo.world import World, WorldItem, WorldSettings, write_world
from retrieval.embedding.options import EmbedOptions
from retrieval.evaluation.blind import best_constant_window
from retrieval.evaluation.moments import recall_at_1
from retrieval.evaluation.ranking import success_at_k
from retrieval.localization.spans import Span
from retrieval.targets import Target
from retrieval.types import Medium

SUITE = "demo"
SEED = 20_000

IMAGES, TUNES, VIDEOS = 1_000, 500, 300
FOLDER = {Medium.IMAGE: "images", Medium.AUDIO: "music", Medium.VIDEO: "videos"}


def run(*, say: Callable[[str], None], folder: Path, scale: float = 1.0) -> Outcome:
    """Generate the held-out world, embed and index it, and ask every caption.

    Args:
        say: Told about every step.
        folder: Where to write world and collection.
        scale: Share of the full galleries, for a quick look; figures are comparable at 1 only.
    """
    images, tunes, videos = (max(10, round(n * scale)) for n in (IMAGES, TUNES, VIDEOS))
    main = WorldSettings(SEED, images, tunes, videos, video_seconds=(20.0, 60.0))
    outcome = _measure(folder / "seen", main, say)
    unseen = WorldSettings(SEED, images, 0, 0, unseen=True)
    return outcome.joined(
        _images(
            *_embedded(folder / "unseen", unseen, say), task="text → image, unseen combinations",
            goals=(None, 0.90),
        )
    )  # fmt: skip


def _measure(base: Path, settings: WorldSettings, say: Callable[[str], None]) -> Outcome:
    collection, world = _embedded(base, settings, say)
    images = _images(collection, world, task="text → image", goals=(0.75, 0.98))
    music = _ranking(
        collection, world, Medium.AUDIO, Target.MUSIC, task="text → music", goals=(0.50, 0.92)
    )
    videos = _ranking(
        collection, world, Medium.VIDEO, Target.VIDEO, task="text → video, frame mean",
        goals=(None, 0.80),
    )  # fmt: skip
    return images.joined(music).joined(videos).joined(Outcome(_moments(collection, world)))


def _embedded(
    base: Path, settings: WorldSettings, say: Callable[[str], None]
) -> tuple[Collection, World]:
    world = write_world(base / "world", settings)
    collection = Collection(base / "collection")
    report = collection.add(
        *(base / "world" / name for name in FOLDER.values()), options=EmbedOptions(models=("tiny",))
    )
    say(f"{sum(report.added.values())} items embedded in {report.seconds:.0f} s")
    collection.index()
    return collection, world


def _images(
    collection: Collection, world: World, *, task: str, goals: tuple[float | None, float | None]
) -> Outcome:
    return _ranking(collection, world, Medium.IMAGE, Target.IMAGE, task=task, goals=goals)


def _ranking(
    collection: Collection,
    world: World,
    modality: Medium,
    target: Target,
    *,
    task: str,
    goals: tuple[float | None, float | None],
) -> Outcome:
    """R@1 and R@10 of the unambiguous captions, and their share."""
    items = world.of(modality)
    asked = [item for item in items if item.unambiguous]
    spaces = _spaces(collection, Medium.AUDIO if modality is Medium.AUDIO else Medium.IMAGE)
    ranks = []
    for item in asked:
        hits = collection.answer(item.caption, to=[target], k=10, spaces=spaces).hits
        found = [hit.rank for hit in hits if hit.uri.endswith(item.file)]
        ranks.append(found[0] if found else 11)
    pool = len(items)
    ceiling = Result(SUITE, task, "ceiling", len(asked) / pool, goal=0.95, pool=pool)
    results = [
        ceiling,
        Result(SUITE, task, "R@1", success_at_k(ranks, 1), goals[0], chance=1 / pool, pool=pool),
        Result(SUITE, task, "R@10", success_at_k(ranks, 10), goals[1], chance=10 / pool, pool=pool),
    ]
    ids = [item.file for item in asked]
    return Outcome(results, [QueryValues.of_ranks(SUITE, task, ids, ranks, 1, 10)])


def _spaces(collection: Collection, medium: Medium) -> list[str]:
    return [space.name for space in collection.snapshot.spaces if medium in space.media]


def _moments(collection: Collection, world: World) -> list[Result]:
    """R1@0.5 and R1@0.7 of the similarity localizer within the true video."""
    asked = [item for item in world.of(Medium.VIDEO) if item.unambiguous]
    spaces = _spaces(collection, Medium.VIDEO)
    collection = Collection.open(collection.root, localizer="similarity")
    found = [_best_moment(collection, item, spaces) for item in asked]
    truth = [(item.start_seconds or 0.0, item.end_seconds or 0.0) for item in asked]
    durations = [item.duration_seconds or 0.0 for item in asked]
    results = []
    for iou, goal in ((0.5, 0.45), (0.7, None)):
        _, blind = best_constant_window([[span] for span in truth], durations, iou)
        value = recall_at_1(found, truth, iou)
        results.append(
            Result(SUITE, "text → moment in the true video, similarity", f"R1@{iou}", value, goal,
                   baseline=blind, pool=len(asked))
        )  # fmt: skip
    return results


def _best_moment(collection: Collection, item: WorldItem, spaces: list[str]) -> Span | None:
    name = item.file.replace("'", "''")
    hits = collection.answer(
        item.caption,
        to=[Target.VIDEO, Target.MOMENT],
        k=1,
        where=f"uri LIKE '%{name}'",
        spaces=spaces,
    ).hits
    if not hits or hits[0].start_seconds is None or hits[0].end_seconds is None:
        return None
    return hits[0].start_seconds, hits[0].end_seconds
