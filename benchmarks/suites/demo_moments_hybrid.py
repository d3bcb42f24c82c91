"""Compares vectors with spoken words on the held-out demo videos.

`demo_hybrid` describes the texts. A third of the videos is silent, a third speaks captions of its
events, and a third speaks about something else. The true window of a sentence is its cue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.datasets.spoken_sentences import FORMS
from benchmarks.datasets.stored_texts import store_texts
from benchmarks.hybrid.comparison import DEPTH, Group
from benchmarks.moments.hybrid import HybridMoments
from benchmarks.moments.scoring import corpus_metric
from benchmarks.moments.suite import TimedQuery
from benchmarks.results.outcome import Outcome, VideoMoment
from benchmarks.suites.demo_hybrid import WorldTexts, group_of, number_of, texts_of_world
from retrieval.collection import Collection
from retrieval.demo.world import World, WorldSettings
from retrieval.search.options import SearchOptions
from retrieval.search.query import Query
from retrieval.targets import Target, TextMode
from retrieval.types import Medium

METRICS: Final = (corpus_metric(1, 0.5), corpus_metric(10, 0.5))


def compare_with_words(
    suite: str, collection: Collection, world: World, settings: WorldSettings, localizer: str
) -> Outcome:
    """Give the videos of a collection their texts, and compare vectors with words.

    Args:
        suite: Name of the suite in results.
        collection: Holds exactly the videos of the world.
        world: The videos.
        settings: Settings of the world.
        localizer: Name of the localizer of the collection in results.
    """
    texts = texts_of_world(world, settings)
    files = {uri: f"videos/{uri.rpartition('/')[2]}" for uri in collection.snapshot.known_files()}
    store_texts(collection.root, {uri: texts.texts.get(file, ()) for uri, file in files.items()})
    collection.refresh()
    collection.index()
    task = HybridMoments(
        suite, moment_queries(world, texts), len(files), localizer, METRICS,
        {item.file: world.folder / item.file for item in world.of(Medium.VIDEO)},
    )  # fmt: skip
    return task.measure(_search_of(collection, files))


def moment_queries(world: World, texts: WorldTexts) -> dict[Group, Sequence[TimedQuery]]:
    """Build the queries: unambiguous captions, and parts of one sentence per video.

    Sentences that several cues answer are left out.
    """
    queries: dict[Group, list[TimedQuery]] = {group: [] for group in Group}
    for item in world.of(Medium.VIDEO):
        group, number, duration = group_of(item), number_of(item), item.duration_seconds or 0.0
        if group is not Group.WORDS:
            if item.unambiguous:
                span = (item.start_seconds or 0.0, item.end_seconds or 0.0)
                queries[group].append(
                    TimedQuery(item.file, item.caption, (span,), duration, item.file)
                )
            continue
        own = [cue for cue in texts.cues if cue.file == item.file]
        cue, form = own[number % len(own)], number // 3 % len(FORMS)
        if sum(other.sentence.answers(cue.sentence, form) for other in texts.cues) == 1:
            span = (cue.start_seconds or 0.0, cue.end_seconds or 0.0)
            text = cue.sentence.query(form)
            queries[group].append(TimedQuery(item.file, text, (span,), duration, item.file))
    return dict(queries)


def _search_of(
    collection: Collection, files: dict[str, str]
) -> Callable[[str, TextMode], list[VideoMoment]]:
    """Return a search of moments in all videos; scores are reciprocal ranks."""

    def search(text: str, mode: TextMode) -> list[VideoMoment]:
        options = SearchOptions(to=[Target.VIDEO, Target.MOMENT], k=DEPTH, text=mode)
        hits = collection.searcher.search(Query.of_text(text), options).hits
        return [
            (files[hit.uri], hit.start_seconds, hit.end_seconds, 1 / hit.rank)
            for hit in hits
            if hit.start_seconds is not None and hit.end_seconds is not None
        ]

    return search
