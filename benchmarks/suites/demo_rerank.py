"""`bench run demo-rerank`: captions with relations, before and after a small re-ranker.

Captions such as "a red star above a small ring" are asked in galleries of held-out scenes: of
scenes that have nothing to do with each other, of scenes and two look-alikes each that differ from
them in one thing, and of scenes and two look-alikes that are only rearranged. The picture that the
caption was written for must come first. The baseline is the dual encoder alone; re-ranking cannot
find what is not among its first 20, and their share is the ceiling. Where scenes have nothing to do
with each other the dual encoder leaves no ten points to gain: there nothing may be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from benchmarks.results.outcome import Outcome, QueryValues
from benchmarks.results.tables import Result
from retrieval.collection import Collection
from retrieval.demo.captions import SceneCaption
from retrieval.demo.drawing import PICTURE_PIXELS, render_scene
from retrieval.demo.scenes import Scene
from retrieval.demo.variations import CHANGES, REARRANGEMENTS
from retrieval.embedding.options import EmbedOptions
from retrieval.evaluation.ranking import success_at_k
from retrieval.search.reranking.reranker import RERANK_TOP
from retrieval.targets import Target
from retrieval.training.bundled.reranker_pairs import MEMBERS, relation_gallery

SUITE = "demo-rerank"
SEED = 20_000
SCENES = 1_000
GALLERIES: tuple[tuple[str, Sequence[str], float], ...] = (
    ("held-out scenes", (), 0.0),
    ("scenes and look-alikes", CHANGES, 0.10),
    ("scenes rearranged", REARRANGEMENTS, 0.10),
)
"""What each is called, how look-alikes differ, and the R@1 that the re-ranker must add."""


def run(*, say: Callable[[str], None], folder: Path, scale: float = 1.0) -> Outcome:
    """Generate the galleries, embed and index them, and ask every caption.

    Args:
        say: Told about every step.
        folder: Where to write pictures and collections.
        scale: Share of the full galleries, for a quick look; figures are comparable at 1 only.
    """
    count = max(MEMBERS * 5, round(SCENES * scale) // MEMBERS * MEMBERS)
    outcome = Outcome([])
    for name, look_alikes, gain in GALLERIES:
        scenes, asked = relation_gallery(count, SEED, look_alikes=look_alikes)
        collection = _embedded(folder / name.replace(" ", "-"), scenes, say)
        task = f"relations → image, {name}"
        outcome = outcome.joined(_measure(collection, asked, count, task, gain))
        say(f"{len(asked)} captions asked, {name}")
    return outcome


def _embedded(base: Path, scenes: list[Scene], say: Callable[[str], None]) -> Collection:
    (base / "images").mkdir(parents=True, exist_ok=True)
    for number, scene in enumerate(scenes):
        picture = Image.fromarray(render_scene(scene, PICTURE_PIXELS))
        picture.save(base / "images" / _file(number))
    collection = Collection(base / "collection")
    report = collection.add(base / "images", options=EmbedOptions(models=("tiny-image",)))
    say(f"{sum(report.added.values())} pictures embedded in {report.seconds:.0f} s")
    collection.index()
    return collection


def _measure(
    collection: Collection,
    asked: list[tuple[int, SceneCaption]],
    pool: int,
    task: str,
    gain: float,
) -> Outcome:
    """R@1 with and without the re-ranker, what is reachable, and the time it takes."""
    before, after, took_ms = [], [], []
    for number, caption in asked:
        answer = collection.answer(caption.text, to=[Target.IMAGE], k=RERANK_TOP, rerank="tiny")
        first = sorted(answer.hits, key=lambda hit: -(hit.first_stage_score or 0.0))
        before.append(_rank([hit.uri for hit in first], number))
        after.append(_rank([hit.uri for hit in answer.hits], number))
        took_ms.append(answer.took_ms.rerank or 0.0)
    baseline = success_at_k(before, 1)
    results = [
        Result(SUITE, task, "ceiling", success_at_k(before, RERANK_TOP), pool=pool),
        Result(
            SUITE, task, "R@1", success_at_k(after, 1), goal=baseline + gain, baseline=baseline,
            chance=1 / pool, pool=pool,
        ),
        Result(
            SUITE, task, "R@5", success_at_k(after, 5), baseline=success_at_k(before, 5),
            chance=5 / pool, pool=pool,
        ),
        Result(SUITE, task, f"ms to re-rank {RERANK_TOP}", median(took_ms), pool=len(asked)),
    ]  # fmt: skip
    ids = [f"{_file(number)}: {caption.text}" for number, caption in asked]
    return Outcome(results, [QueryValues.of_ranks(SUITE, task, ids, after, 1, 5)])


def _rank(uris: list[str], number: int) -> int:
    found = np.flatnonzero([uri.endswith(f"/{_file(number)}") for uri in uris])
    return int(found[0]) + 1 if len(found) else len(uris) + 1


def _file(number: int) -> str:
    return f"{number:05}.png"
