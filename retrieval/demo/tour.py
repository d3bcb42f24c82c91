"""The demo: generate a world, embed and index it, ask it, and show the answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from retrieval.collection import Collection
from retrieval.demo.world import WorldItem, WorldSettings, write_world
from retrieval.embedding.options import EmbedOptions
from retrieval.gallery.curve import Curve
from retrieval.gallery.page import GallerySection, write_gallery
from retrieval.search.searcher import SearchResult
from retrieval.targets import Target
from retrieval.types import Medium

QUERIES_EACH = 2
HITS = 6


@dataclass(frozen=True, slots=True)
class TourStop:
    """One question of the demo, its answers, and what is known to be right."""

    target: Target
    expected: WorldItem
    result: SearchResult


def tour(
    out: Path, *, settings: WorldSettings | None = None, say: Callable[[str], None]
) -> list[TourStop]:
    """Make `out/world`, `out/collection` and `out/gallery.html`; running it again only asks again.

    Args:
        out: Folder for everything.
        settings: Size of the world.
        say: Told about every step.
    """
    world = write_world(out / "world", settings or WorldSettings(), progress=say)
    collection = Collection(out / "collection", device="auto")
    folders = [out / "world" / name for name in ("images", "music", "videos")]
    report = collection.add(*folders, options=EmbedOptions(models=("tiny",)))
    say(f"{sum(report.added.values())} items embedded in {report.seconds:.0f} s")
    for card in collection.index():
        say(card.summary())
    stops = []
    for target, modality in (
        (Target.IMAGE, Medium.IMAGE),
        (Target.MUSIC, Medium.AUDIO),
        (Target.VIDEO, Medium.VIDEO),
        (Target.MOMENT, Medium.VIDEO),
    ):
        asked = [item for item in world.of(modality) if item.unambiguous][:QUERIES_EACH]
        for item in asked:
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
        if hit.start_seconds is None:
            continue
        curve = collection.searcher.curve(stop.result.query, hit.item_id, hit.space, hit.medium)
        right = hit.uri.endswith(stop.expected.file)
        curves[hit.rank] = Curve(*curve, truth=truth if right else None)
    return GallerySection(stop.result.query, stop.result.hits, f"to {stop.target}", curves)
