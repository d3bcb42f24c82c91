"""The demo: generate a world, embed and index it, and search it with known answers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from retrieval.collection import Collection
from retrieval.demo.world import WorldItem, WorldSettings, write_world
from retrieval.embedding.options import EmbedOptions
from retrieval.gallery.curve import Curve
from retrieval.gallery.page import GallerySection, write_gallery
from retrieval.progress import Progress, no_progress
from retrieval.search.searcher import SearchResult
from retrieval.targets import Target
from retrieval.types import Medium

logger = logging.getLogger(__name__)

QUERIES_PER_TARGET = 2
HITS = 6


@dataclass(frozen=True, slots=True)
class TourStop:
    """One query of the demo with its result and the right answer."""

    target: Target
    expected: WorldItem
    result: SearchResult


def tour(
    out: Path, *, settings: WorldSettings | None = None, progress: Progress = no_progress
) -> list[TourStop]:
    """Write `out/world`, `out/collection` and `out/gallery.html`.

    A second run keeps the world and the collection and only searches again.

    Args:
        out: Folder of the demo.
        settings: Size of the world.
        progress: Updated after every written and embedded file.
    """
    world = write_world(out / "world", settings or WorldSettings(), progress=progress)
    collection = Collection(out / "collection", device="auto")
    folders = [out / "world" / name for name in ("images", "music", "videos")]
    report = collection.add(*folders, options=EmbedOptions(models=("tiny",)), progress=progress)
    logger.info("%d items embedded in %.0f s", sum(report.added.values()), report.seconds)
    for card in collection.index():
        logger.info("%s", card.summary())
    stops = []
    for target, modality in (
        (Target.IMAGE, Medium.IMAGE),
        (Target.MUSIC, Medium.AUDIO),
        (Target.VIDEO, Medium.VIDEO),
        (Target.MOMENT, Medium.VIDEO),
    ):
        items = [item for item in world.of(modality) if item.unambiguous]
        for item in items[:QUERIES_PER_TARGET]:
            result = collection.answer(item.caption, to=[target], k=HITS)
            stops.append(TourStop(target, item, result))
    sections = [_section(collection, stop) for stop in stops]
    write_gallery(out / "gallery.html", sections, title="The demo world, searched")
    return stops


def _section(collection: Collection, stop: TourStop) -> GallerySection:
    truth = None
    if stop.expected.start_seconds is not None and stop.expected.end_seconds is not None:
        truth = (stop.expected.start_seconds, stop.expected.end_seconds)
    curves = {}
    for hit in stop.result.hits:
        if hit.start_seconds is None or hit.space is None:
            continue
        curve = collection.searcher.curve(stop.result.query, hit.item_id, hit.space, hit.medium)
        is_right = hit.uri.endswith(stop.expected.file)
        curves[hit.rank] = Curve(*curve, truth=truth if is_right else None)
    return GallerySection(stop.result.query, stop.result.hits, f"to {stop.target}", curves)
