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
from time import monotonic
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.outcome import Outcome
from benchmarks.ranking_suite import Gallery, RankingSuite
from benchmarks.ranking_task import HITS, Found, Task, rank_by_search, rank_exactly
from benchmarks.stored_rows import Rows, stored_rows
from benchmarks.text_vectors import RememberedTexts, text_vectors
from retrieval.collection import Collection
from retrieval.embed_options import EmbedOptions, EmbedReport
from retrieval.encoders.catalogue import CATALOGUE, resolve
from retrieval.errors import SourceError, UnknownModelError
from retrieval.media.files import path_to_uri
from retrieval.protocols import Encoder
from retrieval.search.query import Query, Term
from retrieval.search.searcher import Searcher
from retrieval.targets import Target
from retrieval.types import Medium, Space

TARGETS: Final = {
    Medium.IMAGE: Target.IMAGE, Medium.AUDIO: Target.MUSIC, Medium.VIDEO: Target.VIDEO
}  # fmt: skip
TELL_SECONDS: Final = 10.0

NAMED: Final = 3
"""Missing files that a warning names."""

MEANS: Final = "mean of segments"
"""What most papers compare: one vector an item. A search takes the best segment instead."""

Say = Callable[[str], None]


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
    encoders = _encoders(suite, models)
    here = _files_here(suite, gallery, scale, say)
    collection = _embed(folder / "collection", here, suite.medium, encoders, say)
    spaces = [
        space
        for space in collection.snapshot.spaces
        if suite.medium in space.media and (not encoders or space.encoder in encoders)
    ]
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
    keys = {known[uri].item_id: key for key, uri in _uris(here).items() if uri in known}
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


def _uris(gallery: Gallery) -> dict[str, str]:
    return {key: path_to_uri(str(path)) for key, path in gallery.files.items()}


def _positions(gallery: Gallery, items: Sequence[str]) -> list[list[int]]:
    """For each caption the places of its items."""
    places = {key: place for place, key in enumerate(items)}
    return [[places[key] for key in caption.relevant] for caption in gallery.captions]


# ---------------------------------------------------------------- embed, index, search


def _encoders(suite: RankingSuite, models: Sequence[str]) -> tuple[str, ...]:
    """Specifications of the named models that read such files: the others are not even loaded.

    Raises:
        UnknownModelError: No such model, or none of them does.
    """
    encoders: list[str] = []
    for model in models:
        entry = CATALOGUE.get(model)
        if entry is None:
            encoders += resolve(model)
        else:
            encoders += [spec for spec, media in entry.encoders.items() if suite.medium in media]
    if models and not encoders:
        raise UnknownModelError(
            f"{suite.name} holds {suite.medium} files, which {', '.join(models)} does not embed; "
            "`retrieval models list` shows what does"
        )
    return tuple(encoders)


def _embed(
    root: Path, gallery: Gallery, medium: Medium, encoders: tuple[str, ...], say: Say
) -> Collection:
    """Bring the collection of a suite up to date, and its indexes.

    Raises:
        SourceError: It holds other items, which searches would find.
    """
    collection = Collection(root)
    if (root / "CURRENT").exists():
        others = collection.snapshot.known_files().keys() - set(_uris(gallery).values())
        if others:
            raise SourceError(
                f"{root} holds {len(others)} items that are not asked here, as {min(others)}: "
                "of another --data or --scale; name another --folder"
            )
    options = EmbedOptions(models=encoders, sound_of_videos=medium is Medium.AUDIO)
    paths = [str(path) for path in gallery.files.values()]
    report = collection.add(*paths, options=options, on_item=_telling(len(paths), say))
    say(f"{sum(report.added.values())} files embedded in {report.seconds:.0f} s")
    collection.index(progress=say)
    return collection


def _telling(total: int, say: Say) -> Callable[[EmbedReport], None]:
    """Say every few seconds how far an embedding is."""
    told = monotonic()

    def tell(report: EmbedReport) -> None:
        nonlocal told
        if monotonic() - told > TELL_SECONDS:
            told = monotonic()
            say(f"{report.seen} of {total} files looked at")

    return tell


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
    uris = _uris(gallery)
    places = {uris[key]: place for place, key in enumerate(task.items)}

    def search(text: str) -> Found:
        query = Query((Term(text=text),))  # as it is: `"a" + "b"` in a caption is no sum
        hits = searcher.search(query, to=[TARGETS[medium]], k=HITS, spaces=[space.name]).hits
        return (
            np.array([hit.score for hit in hits], np.float32),
            np.array([places[hit.uri] for hit in hits], np.int64),
        )

    return search
