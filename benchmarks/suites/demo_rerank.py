"""Captions with relations, before and after a small re-ranker.

Captions such as "a red star above a small ring" are queries in galleries of held-out scenes: of
unrelated scenes, of scenes with two look-alikes each that differ in one detail, and of scenes with
two rearranged look-alikes each. The relevant picture is the one that the caption was written for.
The baseline is the dual encoder alone. Re-ranking can only move its first 20 hits, and the share of
queries with the relevant picture among them is the row `ceiling`. Among unrelated scenes the dual
encoder is almost perfect, so there the goal is to lose nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from PIL import Image

from benchmarks.results.outcome import Outcome, QueryValues, Result
from retrieval.collection import Collection
from retrieval.demo.captions import SceneCaption
from retrieval.demo.drawing import PICTURE_PIXELS, render_scene
from retrieval.demo.scenes import Scene
from retrieval.demo.variations import CHANGES, REARRANGEMENTS
from retrieval.embedding.options import EmbedOptions
from retrieval.evaluation.ranking import success_at_k
from retrieval.search.reranking.reranker import RERANK_TOP
from retrieval.targets import Target, TextMode
from retrieval.training.bundled.reranker_pairs import MEMBERS, relation_gallery

logger = logging.getLogger(__name__)

SUITE = "demo-rerank"
SEED = 20_000
SCENES = 1_000


@dataclass(frozen=True, slots=True)
class _Gallery:
    """A gallery: the changes of its look-alikes, and the R@1 that the re-ranker must add."""

    name: str
    changes: Sequence[str]
    gain: float


GALLERIES = (
    _Gallery("held-out scenes", (), 0.0),
    _Gallery("scenes and look-alikes", CHANGES, 0.10),
    _Gallery("scenes rearranged", REARRANGEMENTS, 0.10),
)


def run(*, folder: Path, scale: float = 1.0) -> Outcome:
    """Generate, embed and index the galleries, and run every caption.

    Args:
        folder: Folder of pictures and collections.
        scale: Share of the full galleries.
    """
    count = max(MEMBERS * 5, round(SCENES * scale) // MEMBERS * MEMBERS)
    outcomes = []
    for gallery in GALLERIES:
        scenes, captions = relation_gallery(count, SEED, look_alikes=gallery.changes)
        collection = _embedded(folder / gallery.name.replace(" ", "-"), scenes)
        outcomes.append(_measure(collection, captions, count, gallery))
        logger.info("%d captions of %s ranked", len(captions), gallery.name)
    return Outcome.merged(outcomes)


def _embedded(folder: Path, scenes: list[Scene]) -> Collection:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number, scene in enumerate(scenes):
        picture = Image.fromarray(render_scene(scene, PICTURE_PIXELS))
        picture.save(folder / "images" / _file_name(number))
    collection = Collection(folder / "collection")
    report = collection.add(folder / "images", options=EmbedOptions(models=("tiny-image",)))
    added = sum(report.added.values())
    logger.info("%d pictures embedded in %.0f s", added, report.seconds)
    collection.index()
    return collection


def _measure(
    collection: Collection,
    captions: list[tuple[int, SceneCaption]],
    pool: int,
    gallery: _Gallery,
) -> Outcome:
    """Compute R@1 and R@5 with and without the re-ranker, its ceiling, and its time."""
    before, after, rerank_ms = [], [], []
    for number, caption in captions:
        answer = collection.answer(
            caption.text, to=[Target.IMAGE], k=RERANK_TOP, rerank="tiny", text=TextMode.OFF
        )
        first = sorted(answer.hits, key=lambda hit: -(hit.first_stage_score or 0.0))
        before.append(_rank([hit.uri for hit in first], number))
        after.append(_rank([hit.uri for hit in answer.hits], number))
        rerank_ms.append(answer.took_ms.rerank or 0.0)
    task = f"relations → image, {gallery.name}"
    baseline = success_at_k(before, 1)
    results = [
        Result(SUITE, task, "ceiling", success_at_k(before, RERANK_TOP), pool=pool),
        Result(
            SUITE, task, "R@1", success_at_k(after, 1), goal=baseline + gallery.gain,
            baseline=baseline, chance=1 / pool, pool=pool,
        ),
        Result(
            SUITE, task, "R@5", success_at_k(after, 5), baseline=success_at_k(before, 5),
            chance=5 / pool, pool=pool,
        ),
        Result(SUITE, task, f"ms to re-rank {RERANK_TOP}", median(rerank_ms), pool=len(captions)),
    ]  # fmt: skip
    ids = [f"{_file_name(number)}: {caption.text}" for number, caption in captions]
    return Outcome(results, [QueryValues.of_ranks(SUITE, task, ids, after, 1, 5)])


def _rank(uris: list[str], number: int) -> int:
    """Return the rank of a picture, or the rank after the last if it is no hit."""
    ending = f"/{_file_name(number)}"
    return next((n for n, uri in enumerate(uris, 1) if uri.endswith(ending)), len(uris) + 1)


def _file_name(number: int) -> str:
    return f"{number:05}.png"
