"""Vectors, words and their fusions on a held-out demo world whose items have texts.

`benchmarks.datasets.demo_texts` describes the texts: a third of the items has none, a third has
another caption of the same content, and a third speaks about something that it does not show.
Captions are queries for the items of the first two thirds, parts of sentences for those of the
last. Videos are also queried for the moment of an event, or of a spoken sentence, in all videos.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.datasets.demo_texts import (
    GROUPS,
    SpokenCue,
    WorldTexts,
    group_of,
    number_of,
    texts_of_world,
)
from benchmarks.datasets.spoken_sentences import FORMS
from benchmarks.datasets.stored_texts import store_texts
from benchmarks.hybrid.comparison import DEPTH, Group
from benchmarks.moments.hybrid import HybridMoments
from benchmarks.moments.scoring import corpus_metric
from benchmarks.moments.suite import TimedQuery
from benchmarks.ranking.hybrid import HybridQuery, HybridTask, item_search
from benchmarks.results.outcome import Outcome, VideoMoment
from retrieval.collection import Collection
from retrieval.demo.world import World, WorldItem, WorldSettings, load_world, write_world
from retrieval.embedding.options import EmbedOptions
from retrieval.progress import Progress, no_progress
from retrieval.search.options import SearchOptions
from retrieval.search.query import Query
from retrieval.targets import Target, TextMode
from retrieval.types import Medium

logger = logging.getLogger(__name__)

SUITE: Final = "demo-hybrid"
SEED: Final = 40_000
IMAGES, TUNES, VIDEOS = 900, 450, 450
FOLDERS: Final = ("images", "music", "videos")
DEPTHS: Final = (1, 10)
MOMENT_METRICS: Final = (corpus_metric(1, 0.5), corpus_metric(10, 0.5))


@dataclass(frozen=True, slots=True)
class _Ranking:
    """One ranking task."""

    task: str
    modality: Medium
    target: Target


_RANKINGS: Final = (
    _Ranking("text → image", Medium.IMAGE, Target.IMAGE),
    _Ranking("text → music", Medium.AUDIO, Target.MUSIC),
    _Ranking("text → video", Medium.VIDEO, Target.VIDEO),
)


def run(*, folder: Path, scale: float = 1.0, progress: Progress = no_progress) -> Outcome:
    """Generate, embed and index the held-out world, and answer every query by every method.

    Args:
        folder: Folder of the world and the collection.
        scale: Share of the full galleries.
        progress: Receives the number of answered queries.
    """
    images, tunes, videos = (max(12, round(n * scale)) for n in (IMAGES, TUNES, VIDEOS))
    settings = WorldSettings(SEED, images, tunes, videos, video_seconds=(20.0, 60.0))
    world = _world(folder / "world", settings)
    texts = texts_of_world(world, settings)
    collection, files = _embedded(folder, texts)
    outcomes = [
        _items(collection, files, world, texts, ranking).measure(
            item_search(
                collection.searcher, files, ranking.target, _spaces(collection, ranking.modality),
                max(DEPTHS),
            ),
            progress,
        )
        for ranking in _RANKINGS
    ]  # fmt: skip
    task = HybridMoments(
        SUITE, moment_queries(world, texts), videos, "Hammer", MOMENT_METRICS,
        _media_files(world, Medium.VIDEO),
    )  # fmt: skip
    outcomes.append(task.measure(_moment_search(collection, files), progress))
    return Outcome.merged(outcomes)


def _world(folder: Path, settings: WorldSettings) -> World:
    """Write the world, unless an earlier run did."""
    if not (folder / "truth.jsonl").exists():
        write_world(folder, settings)
    return load_world(folder)


def _embedded(folder: Path, texts: WorldTexts) -> tuple[Collection, dict[str, str]]:
    """Embed and index the world with its texts; also return its files by uri."""
    collection = Collection(folder / "collection", localizer="hammer")
    paths = [folder / "world" / name for name in FOLDERS]
    report = collection.add(*paths, options=EmbedOptions(models=("tiny",), texts=()))
    added = sum(report.added.values())
    logger.info("%d items embedded in %.0f s", added, report.seconds)
    files = {uri: "/".join(uri.split("/")[-2:]) for uri in collection.snapshot.known_files()}
    store_texts(collection.root, {uri: texts.texts.get(file, ()) for uri, file in files.items()})
    collection.refresh()
    collection.index()
    return collection, files


def _items(
    collection: Collection,
    files: Mapping[str, str],
    world: World,
    texts: WorldTexts,
    ranking: _Ranking,
) -> HybridTask:
    media = _media_files(world, ranking.modality)
    cues = [cue for cue in texts.cues if cue.file in media]
    queries = item_queries(world.of(ranking.modality), cues)
    return HybridTask(SUITE, ranking.task, queries, len(media), DEPTHS, media)


def item_queries(items: Sequence[WorldItem], cues: Sequence[SpokenCue]) -> list[HybridQuery]:
    """Build the queries of some items: unambiguous captions, and parts of sentences.

    Args:
        items: The items, all of one modality.
        cues: The sentences of these items. Each item is queried by its first one.
    """
    queries = []
    first_cues = {cue.file: cue for cue in reversed(cues)}
    for item in items:
        group = group_of(item)
        if group is Group.WORDS:
            sentence, form = first_cues[item.file].sentence, _form(item)
            relevant = [cue.file for cue in cues if cue.sentence.answers(sentence, form)]
            text = sentence.query(form)
            queries.append(HybridQuery(item.file, text, tuple(dict.fromkeys(relevant)), group))
        elif item.unambiguous:
            queries.append(HybridQuery(item.file, item.caption, (item.file,), group))
    return queries


def moment_queries(world: World, texts: WorldTexts) -> dict[Group, Sequence[TimedQuery]]:
    """Build the queries of moments: unambiguous captions, and parts of one sentence per video.

    Sentences that several cues answer are left out.
    """
    queries: dict[Group, list[TimedQuery]] = {group: [] for group in Group}
    spoken = [cue for cue in texts.cues if cue.start_seconds is not None]
    for item in world.of(Medium.VIDEO):
        text, span = item.caption, (item.start_seconds or 0.0, item.end_seconds or 0.0)
        is_clear = item.unambiguous
        if group_of(item) is Group.WORDS:
            own = [cue for cue in spoken if cue.file == item.file]
            cue, form = own[number_of(item) % len(own)], _form(item)
            text, span = (
                cue.sentence.query(form),
                (cue.start_seconds or 0.0, cue.end_seconds or 0.0),
            )
            is_clear = sum(other.sentence.answers(cue.sentence, form) for other in spoken) == 1
        if is_clear:
            queries[group_of(item)].append(
                TimedQuery(item.file, text, (span,), item.duration_seconds or 0.0, item.file)
            )
    return dict(queries)


def _form(item: WorldItem) -> int:
    """Form of the query for the sentence of an item."""
    return number_of(item) // len(GROUPS) % len(FORMS)


def _media_files(world: World, modality: Medium) -> dict[str, Path]:
    return {item.file: world.folder / item.file for item in world.of(modality)}


def _spaces(collection: Collection, modality: Medium) -> list[str]:
    medium = Medium.AUDIO if modality is Medium.AUDIO else Medium.IMAGE
    return [space.name for space in collection.snapshot.spaces if medium in space.media]


def _moment_search(
    collection: Collection, files: Mapping[str, str]
) -> Callable[[str, TextMode], list[VideoMoment]]:
    """Return a search of moments in all videos; scores are reciprocal ranks."""
    spaces = _spaces(collection, Medium.VIDEO)

    def search(text: str, mode: TextMode) -> list[VideoMoment]:
        to = [Target.VIDEO, Target.MOMENT]
        options = SearchOptions(to=to, k=DEPTH, spaces=spaces, text=mode)
        return [
            (files[hit.uri], hit.start_seconds, hit.end_seconds, 1 / hit.rank)
            for hit in collection.searcher.search(Query.of_text(text), options).hits
            if hit.start_seconds is not None and hit.end_seconds is not None
        ]

    return search
