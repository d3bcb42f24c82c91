"""Runs a ranking suite through the public interface: embed, index, search and score.

Exact figures use the vectors that the collection stores, and score every query with every item,
because the median and mean rank need all ranks. Figures named `index` use searches, one query at a
time. With an exact index both agree; otherwise the difference is the loss of the index.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from benchmarks.datasets.embedded_files import embed_files, encoders_of, spaces_of, uris_of
from benchmarks.hybrid.comparison import Group
from benchmarks.ranking.hybrid import HybridQuery, HybridTask, item_search
from benchmarks.ranking.item_vectors import ItemVectors, stored_vectors
from benchmarks.ranking.scoring import (
    KS,
    MAX_HITS,
    Ranking,
    RankingTask,
    rank_by_search,
    rank_exactly,
)
from benchmarks.ranking.suite import Gallery, RankingSuite
from benchmarks.ranking.text_vectors import cached_text_vectors
from benchmarks.results.outcome import Outcome
from benchmarks.suite import RunOptions
from benchmarks.text_encoder import FixedTextEncoder
from retrieval.collection import Collection
from retrieval.errors import SourceError
from retrieval.search.options import SearchOptions
from retrieval.search.query import Query
from retrieval.search.searcher import Searcher
from retrieval.targets import Target, TextMode
from retrieval.types import Medium, Space

logger = logging.getLogger(__name__)

TARGETS: Final = {
    Medium.IMAGE: Target.IMAGE, Medium.AUDIO: Target.MUSIC, Medium.VIDEO: Target.VIDEO
}  # fmt: skip

MAX_NAMED: Final = 3
"""Number of missing files that a warning names."""

MEANS: Final = "mean of segments"
"""Variant with one vector per item, as in most papers. Searches use the best segment instead."""


def run_ranking_suite(suite: RankingSuite, options: RunOptions) -> Outcome:
    """Embed the files, rank them by every caption, and rank the captions by every file.

    Raises:
        SourceError: Files are missing or in another format, or the folder holds a collection of
            other items.
        UnknownModelError: A model does not exist, or none embeds these files.
    """
    gallery = suite.gallery(options.data)
    encoders = encoders_of(suite.name, suite.medium, options.models)
    present = _present_files(suite, gallery, options.scale)
    collection, _ = embed_files(
        options.folder / "collection", present.files, suite.medium, encoders, options.progress,
        texts=present.texts or None,
    )  # fmt: skip
    spaces = spaces_of(collection, suite.medium, encoders)
    outcomes = []
    for space in spaces:
        items, rows = _stored_items(collection, present, space, suite.medium)
        searched = present.only(items)
        # Figures of a partial pool are not comparable with published ones.
        is_complete = len(items) == len(gallery.files)
        task = RankingTask(
            suite.name,
            suite.data_set.task,
            [caption.caption_id for caption in searched.captions],
            [caption.text for caption in searched.captions],
            items,
            _relevant_positions(searched, items),
            searched.files,
            suite.reports_map,
            (space.name,) if len(spaces) > 1 else (),
            suite.data_set.reported.get(space.encoder, {}) if is_complete else {},
        )
        vectors = cached_text_vectors(options.folder / "texts", collection, space, task.queries)
        texts = FixedTextEncoder(task.queries, vectors)
        search = _search_of(collection, space, suite.medium, task, texts)
        outcomes.append(_measure(task, ItemVectors.single(vectors), rows, search))
        if searched.texts:
            hybrid = hybrid_task(task, searched)
            outcomes.append(_compare_with_words(collection, space, suite.medium, hybrid, options))
        logger.info(
            "%d captions of %d files in %s scored", len(task.queries), len(items), space.name
        )
    return Outcome.merged(outcomes)


def _measure(
    task: RankingTask, texts: ItemVectors, rows: ItemVectors, search: Callable[[str], Ranking]
) -> Outcome:
    """Measure all variants of a task; published figures belong to the one that papers use."""
    has_segments = not rows.are_single
    exact = replace(task, published={} if has_segments else task.published)
    queries = rows.select(task.relevant_items())
    outcomes = [
        rank_exactly(exact, texts, rows),
        rank_by_search(replace(task, variant=("index", *task.variant), published={}), search),
        rank_exactly(exact.reversed(), queries, texts),
    ]
    if has_segments:
        mean = replace(task, variant=(MEANS, *task.variant))
        outcomes.append(rank_exactly(mean, texts, rows.means()))
        outcomes.append(rank_exactly(mean.reversed(), queries.means(), texts))
    return Outcome.merged(outcomes)


def _present_files(suite: RankingSuite, gallery: Gallery, scale: float) -> Gallery:
    """Restrict a gallery to a share of its items, and to those whose files exist.

    Raises:
        SourceError: No file exists.
    """
    share = list(gallery.files)[: max(1, round(scale * len(gallery.files)))]
    present = [item for item in share if gallery.files[item].is_file()]
    missing = [gallery.files[item] for item in share if not gallery.files[item].is_file()]
    if not present:
        raise SourceError(
            f"{suite.name}: none of {len(share)} files exists, for example {missing[0]}; "
            f"they come from {suite.data_set.source}"
        )
    if missing:
        named = ", ".join(str(path) for path in missing[:MAX_NAMED])
        logger.warning("%d of %d files are missing: %s", len(missing), len(share), named)
    if len(present) < len(gallery.files):
        logger.warning(
            "the pool is %d of %d items: its figures are not comparable with published ones",
            len(present),
            len(gallery.files),
        )
    return gallery.only(present)


def _stored_items(
    collection: Collection, gallery: Gallery, space: Space, medium: Medium
) -> tuple[list[str], ItemVectors]:
    """Read the items that could be embedded, and their vectors.

    Raises:
        SourceError: No item could be embedded.
    """
    known = collection.snapshot.known_files()
    names = {known[uri].item_id: item for item, uri in uris_of(gallery.files).items()
             if uri in known}  # fmt: skip
    items, rows = stored_vectors(collection.snapshot, space, medium, names)
    lost = len(gallery.files) - len(items)
    if not items:
        raise SourceError(
            f"none of {lost} files could be embedded; the status of the collection "
            f"{collection.root} lists the reasons"
        )
    if lost:
        logger.warning(
            "%d of %d files could not be embedded, so the figures are not comparable with "
            "published ones; the status of the collection %s lists the reasons",
            lost,
            len(gallery.files),
            collection.root,
        )
    return items, rows


def _relevant_positions(gallery: Gallery, items: Sequence[str]) -> list[list[int]]:
    """Return the positions of the relevant items of each caption."""
    positions = {item: position for position, item in enumerate(items)}
    return [[positions[item] for item in caption.relevant] for caption in gallery.captions]


def hybrid_task(task: RankingTask, gallery: Gallery) -> HybridTask:
    """Group the queries of a gallery with texts by what can answer them."""
    captions = [
        HybridQuery(
            caption.caption_id,
            caption.text,
            caption.relevant,
            Group.BOTH if any(gallery.texts.get(item) for item in caption.relevant)
            else Group.VECTORS,
        )
        for caption in gallery.captions
    ]  # fmt: skip
    words = [
        HybridQuery(caption.caption_id, caption.text, caption.relevant, Group.WORDS)
        for caption in gallery.word_queries
    ]
    return HybridTask(
        task.suite, task.title, [*captions, *words], len(task.items), KS, task.files
    )  # fmt: skip


def _compare_with_words(
    collection: Collection, space: Space, medium: Medium, task: HybridTask, options: RunOptions
) -> Outcome:
    """Answer the queries of a task by vectors, words, and both."""
    queries = [query.text for query in task.queries]
    vectors = cached_text_vectors(options.folder / "texts", collection, space, queries)
    texts = FixedTextEncoder(queries, vectors)
    searcher = Searcher(collection.snapshot, lambda _: texts, device=collection.device)
    names = {uri: item for item, uri in uris_of(task.files).items()}
    search = item_search(searcher, names, TARGETS[medium], [space.name])
    return task.measure(search, options.progress)


def _search_of(
    collection: Collection,
    space: Space,
    medium: Medium,
    task: RankingTask,
    texts: FixedTextEncoder,
) -> Callable[[str], Ranking]:
    """Return a search by text in one space, through the index of the collection."""
    searcher = Searcher(collection.snapshot, lambda _: texts, device=collection.device)
    uris = uris_of(task.files)
    positions: Mapping[str, int] = {uris[item]: row for row, item in enumerate(task.items)}

    def search(text: str) -> Ranking:
        query = Query.of_text(text)
        options = SearchOptions(
            to=[TARGETS[medium]], k=MAX_HITS, spaces=[space.name], text=TextMode.OFF
        )
        hits = searcher.search(query, options).hits
        return (
            np.array([hit.score for hit in hits], np.float32),
            np.array([positions[hit.uri] for hit in hits], np.int64),
        )

    return search
