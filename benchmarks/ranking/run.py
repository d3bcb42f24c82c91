"""Runs a suite of rankings through the public path: embed, index, search, and count.

Exact figures come from the vectors that the collection stores, every query against every item in
blocks: the median and the mean rank need all ranks, and an answer of some hits cannot tell them.
Figures called `index` come from searches as a user makes them, one query at a time. Where the
index is exact both agree; elsewhere the difference is what it loses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.embedded_files import Say, embed_files, encoders_of, spaces_of, uris_of
from benchmarks.ranking.rows import Rows, stored_rows
from benchmarks.ranking.suite import Gallery, RankingSuite
from benchmarks.ranking.task import HITS, Found, Task, rank_by_search, rank_exactly
from benchmarks.ranking.text_vectors import RememberedTexts, text_vectors
from benchmarks.results.outcome import Outcome
from retrieval.collection import Collection
from retrieval.errors import SourceError
from retrieval.protocols import Encoder
from retrieval.search.options import SearchOptions
from retrieval.search.query import Query
from retrieval.search.searcher import Searcher
from retrieval.targets import Target
from retrieval.types import Medium, Space

TARGETS: Final = {
    Medium.IMAGE: Target.IMAGE, Medium.AUDIO: Target.MUSIC, Medium.VIDEO: Target.VIDEO
}  # fmt: skip

NAMED: Final = 3
"""Missing files that a warning names."""

MEANS: Final = "mean of segments"
"""What most papers compare: one vector an item. A search takes the best segment instead."""


def measure(
    suite: RankingSuite,
    gallery: Gallery,
    *,
    folder: Path,
    scale: float,
    models: Sequence[str],
    say: Say,
) -> Outcome:
    """Everything that a suite prints; see `RankingSuite.run`."""
    encoders = encoders_of(suite.name, suite.medium, models)
    here = _files_here(suite, gallery, scale, say)
    collection, _ = embed_files(folder / "collection", here.files, suite.medium, encoders, say)
    spaces = spaces_of(collection, suite.medium, encoders)
    outcome = Outcome([])
    for space in spaces:
        items, rows = _stored(collection, here, space, suite.medium, say)
        seen = here.only(items)
        task = Task(
            suite.name,
            suite.data_set.task,
            [caption.caption_id for caption in seen.captions],
            [caption.text for caption in seen.captions],
            items,
            _positions(seen, items),
            seen.files,
            suite.with_map,
            (space.name,) if len(spaces) > 1 else (),
        )
        vectors = text_vectors(folder / "texts", collection, space, task.queries)
        search = _searches(collection, space, suite.medium, task, vectors, seen)
        # Of another pool nothing is comparable.
        whole = len(items) == len(gallery.files)
        reported = suite.data_set.reported.get(space.encoder, {}) if whole else {}
        outcome = outcome.joined(_figures(task, Rows.single(vectors), rows, search, reported))
        say(f"{len(task.queries)} captions asked of {len(items)} files in {space.name}")
    return outcome


def _figures(
    task: Task,
    texts: Rows,
    rows: Rows,
    search: Callable[[str], Found],
    reported: Mapping[tuple[str, str], float],
) -> Outcome:
    """All rows of one space; `reported` stands beside the ones that papers compare."""
    several = not rows.are_single
    exact = replace(task, published={} if several else reported)
    asking = rows.some(task.answered())
    parts = [
        rank_exactly(exact, texts, rows),
        rank_by_search(replace(task, variant=("index", *task.variant)), search),
        rank_exactly(exact.turned(), asking, texts),
    ]
    if several:
        mean = replace(task, variant=(MEANS, *task.variant), published=reported)
        parts.append(rank_exactly(mean, texts, rows.means()))
        parts.append(rank_exactly(mean.turned(), asking.means(), texts))
    return reduce(Outcome.joined, parts)


# ---------------------------------------------------------------- what there is


def _files_here(suite: RankingSuite, gallery: Gallery, scale: float, say: Say) -> Gallery:
    """The share of a gallery that is asked, as far as its files are there.

    Raises:
        SourceError: None is.
    """
    share = list(gallery.files)[: max(1, round(scale * len(gallery.files)))]
    found = [key for key in share if gallery.files[key].is_file()]
    missing = [gallery.files[key] for key in share if not gallery.files[key].is_file()]
    if not found:
        raise SourceError(
            f"{suite.name}: none of {len(share)} files is there, as {missing[0]}; "
            f"they come from {suite.data_set.source}"
        )
    if missing:
        named = ", ".join(str(path) for path in missing[:NAMED])
        say(f"{len(missing)} of {len(share)} files are missing, as {named}")
    if len(found) < len(gallery.files):
        say(
            f"the pool is {len(found)} of {len(gallery.files)} items: "
            "its figures are not comparable with published ones"
        )
    return gallery.only(found)


def _stored(
    collection: Collection, here: Gallery, space: Space, medium: Medium, say: Say
) -> tuple[list[str], Rows]:
    """The items that could be embedded, and their vectors."""
    known = collection.snapshot.known_files()
    keys = {known[uri].item_id: key for key, uri in uris_of(here.files).items() if uri in known}
    items, rows = stored_rows(collection.snapshot, space, medium, keys)
    lost = len(here.files) - len(items)
    if not items:
        raise SourceError(
            f"none of {lost} files could be embedded; `retrieval status {collection.root}` says why"
        )
    if lost:
        say(
            f"{lost} of {len(here.files)} files could not be embedded, "
            f"`retrieval status {collection.root}` says why: "
            "the figures are not comparable with published ones"
        )
    return items, rows


def _positions(gallery: Gallery, items: Sequence[str]) -> list[list[int]]:
    """For each caption the places of its items."""
    places = {key: place for place, key in enumerate(items)}
    return [[places[key] for key in caption.relevant] for caption in gallery.captions]


def _searches(
    collection: Collection,
    space: Space,
    medium: Medium,
    task: Task,
    vectors: NDArray[np.float32],
    gallery: Gallery,
) -> Callable[[str], Found]:
    """A search by text in one space, through the collection's index."""
    texts = RememberedTexts(task.queries, vectors)
    # A searcher asks an encoder for texts only, unless a query holds a file.
    searcher = Searcher(
        collection.snapshot, lambda _: cast(Encoder, texts), device=collection.device
    )
    uris = uris_of(gallery.files)
    places = {uris[key]: place for place, key in enumerate(task.items)}

    options = SearchOptions(to=[TARGETS[medium]], k=HITS, spaces=[space.name])

    def search(text: str) -> Found:
        hits = searcher.search(Query.of_text(text), options).hits
        return (
            np.array([hit.score for hit in hits], np.float32),
            np.array([places[hit.uri] for hit in hits], np.int64),
        )

    return search
