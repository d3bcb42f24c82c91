"""`embed`: decode, encode and store the media files of some sources.

A run opens the collection and its encoders, completes the spaces that lack rows of existing items,
and then embeds new and changed files.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from retrieval.embedding.assembly import Assembler
from retrieval.embedding.options import (
    EmbedOptions,
    EmbedReport,
    EncoderLoader,
    Spaces,
    open_spaces,
    required_encoders,
)
from retrieval.embedding.reading import WordReader, check_readers
from retrieval.embedding.reconciling import SPACE_STAGE, Reconciler
from retrieval.encoders.hub.cache import find_snapshot
from retrieval.encoders.inventory import MissingEncoder, MissingRepository, missing_repositories
from retrieval.encoders.names import unidentified_repository
from retrieval.encoders.spaces import decode_plan
from retrieval.encoders.whisper import resolve_speech_model
from retrieval.errors import InvalidVectorError
from retrieval.media.decode import NO_ENCODER
from retrieval.media.names import container_of, uri_to_path
from retrieval.media.sources.find import find_sources
from retrieval.media.sources.listing import Listing, LiteralPaths
from retrieval.media.workers.pool import decode_all
from retrieval.progress import Progress, no_progress
from retrieval.protocols import Encoder
from retrieval.store.current import read_current
from retrieval.store.interrupts import publish_on_interrupt
from retrieval.store.reader import Snapshot
from retrieval.store.writer import CollectionWriter
from retrieval.store.writer_progress import PublishedProgress
from retrieval.types import (
    DecodeEvent,
    DecodePlan,
    EmbeddedItem,
    Failure,
    ItemDecoded,
    ItemUnchanged,
    KnownFile,
    Medium,
    Segments,
    Source,
    Space,
    TextSource,
    WordEvent,
)

logger = logging.getLogger(__name__)

ListSources = Callable[[Listing], Iterator[Source]]
"""Lists the sources of a run; may be called several times."""

FLUSH_SECONDS = 30.0
"""Interval of encoding partial batches, so that a rare medium does not delay other items."""


def embed(
    sources: Sequence[str | os.PathLike[str] | LiteralPaths],
    root: Path,
    options: EmbedOptions | None = None,
    progress: Progress = no_progress,
    *,
    load: EncoderLoader | None = None,
    total: int | None = None,
) -> EmbedReport:
    """Embed files into a collection: add new ones and replace changed ones.

    A second run over the same files changes nothing. After a crash, a run continues after the last
    published shard.

    Args:
        sources: Folders, files, patterns, lists (CSV, JSONL, Parquet), tars; or `LiteralPaths`.
        root: Folder of the collection; created if it does not exist.
        options: Models, sampling and reading options.
        progress: Updated after every item.
        load: Loads an encoder; None: `load_encoder`.
        total: Number of files that the sources contain, if it is known; part of the progress.

    Raises:
        SourceError: A source does not exist, or a list names no files.
        DamagedMediaError: A file cannot be used, with `strict`.
        CollectionLockedError: Another process writes to the collection.
    """
    options = options or EmbedOptions()
    report = EmbedReport()
    start = time.monotonic()
    check_readers(options)

    def list_sources(listing: Listing) -> Iterator[Source]:
        return find_sources(
            [
                source if isinstance(source, LiteralPaths) else os.fspath(source)
                for source in sources
            ],
            path_column=options.path_column,
            caption_column=options.caption_column,
            listing=listing,
        )

    with (
        CollectionWriter.open(root, create=True) as writer,
        publish_on_interrupt(writer),
        PublishedProgress(root, progress, lambda: _counts(report), total) as published,
    ):
        spaces = open_spaces(writer.snapshot, options, load)
        run = _EmbedRun(writer, spaces, options, report, published)
        run.complete_spaces(list_sources)
        run.embed_files(list_sources)
        writer.publish()
        run.read_words()
        report.notices += writer.notices.lines()
    report.seconds = time.monotonic() - start
    return report


def _counts(report: EmbedReport) -> tuple[int, int]:
    return report.in_collection, report.failed


def missing_encoders(root: Path, options: EmbedOptions) -> list[MissingEncoder]:
    """Return the encoders of a run whose files are not on this machine."""
    snapshot = Snapshot.open(root) if read_current(root) else None
    speech = (options.speech_model,) if TextSource.SPEECH in options.texts else ()
    unknown = [
        MissingEncoder(repo, model, [MissingRepository(repo, None, "")], optional=False)
        for model in (*options.models, *speech)
        if (repo := unidentified_repository(model)) is not None and find_snapshot(repo) is None
    ]
    if unknown:
        return unknown  # the needs of the others depend on these files
    specs = [
        (required.spec, required.model, required.optional)
        for required in required_encoders(snapshot, options)
    ]
    if TextSource.SPEECH in options.texts:
        specs.append((resolve_speech_model(options.speech_model), options.speech_model, False))
    return [
        MissingEncoder(spec, model, repositories, optional)
        for spec, model, optional in specs
        if (repositories := missing_repositories(spec))
    ]


class _EmbedRun:
    """One call of `embed`: the writer, the encoders, and the report."""

    def __init__(
        self,
        writer: CollectionWriter,
        spaces: Spaces,
        options: EmbedOptions,
        report: EmbedReport,
        progress: Progress,
    ) -> None:
        self._writer = writer
        self._spaces = spaces
        self._options = options
        self._report = report
        self._progress = progress
        self._reconciler = Reconciler(writer, options, report, progress)
        existing = {space.name for space in writer.snapshot.spaces} if writer.snapshot else set()
        for name, (space, _) in spaces.items():
            if name not in existing:
                writer.add_space(space)
        writer.exclude_spaces(existing - spaces.keys())

    # ------------------------------------------------------------ new and changed files

    def embed_files(self, list_sources: ListSources) -> None:
        """Embed the new and changed files."""
        known = self._reconciler.known.files
        sources = self._reconciler.select(list_sources(self._reconciler.listing))
        texts = self._reconciler.texts.file_texts
        for result in self._embed(sources, self._spaces, known, texts):
            self._store(result, known)
        self._reconciler.finish()

    def read_words(self) -> None:
        """Read the writing and speech of the run's items, if the options request it."""
        WordReader(self._writer, self._options, self._report, self._progress).read(
            self._reconciler.seen
        )

    def _store(
        self, result: EmbeddedItem | Failure | ItemUnchanged, known: Mapping[str, KnownFile]
    ) -> None:
        if isinstance(result, ItemUnchanged):
            if result.info is not None:
                self._reconciler.keep(result.info, result.texts_read)
            return
        if isinstance(result, EmbeddedItem):
            self._reconciler.mark_seen(result.info.uri)
            older = known.get(result.info.uri)
            if older is not None and older.sha256 == result.info.sha256:
                # A member of a renamed tar.
                self._reconciler.keep(result.info, self._reconciler.texts.file_texts)
                return
            self._add(result, older)
        elif result.stage == NO_ENCODER:
            self._reconciler.mark_seen(result.uri)
            self._report.without_encoder += 1
        else:
            self._reconciler.record_failure(result)
            return
        self._reconciler.report_progress()

    def _add(self, item: EmbeddedItem, older: KnownFile | None) -> None:
        info = item.info
        try:
            info = self._reconciler.texts.completed(info)
            self._writer.add(replace(item, info=info, replaces=older.item_id if older else None))
        except InvalidVectorError as error:
            failure = Failure(info.uri, "encode", str(error), info.bytes, info.mtime)
            self._reconciler.record_failure(failure)
            return
        self._report.added[info.modality] += 1
        self._report.without_segments += not any(rows.media for rows in item.segments.values())
        self._report.replaced += older is not None

    # ------------------------------------------------------------ incomplete spaces

    def complete_spaces(self, list_sources: ListSources) -> None:
        """Compute the rows of existing items that a space lacks.

        A killed run or an added model leaves such gaps. They are filled before new files are
        embedded, so that item ids ascend within every space.
        """
        snapshot = self._writer.snapshot
        if snapshot is None or snapshot.manifest.next_item_id == 0:
            return
        existing = {space.name for space in snapshot.spaces}
        covered = {
            name: snapshot.last_embedded_id(name) if name in existing else -1
            for name in self._spaces
        }
        if all(last == snapshot.manifest.next_item_id - 1 for last in covered.values()):
            return
        # Renames first: the rows are computed from the items' current files.
        bases = self._reconciler.listing.bases
        listing = Listing(self._options.exclude, lambda failure: None, bases=bases)
        if self._reconciler.follow_renames(list_sources(listing)):
            self._writer.publish()
            snapshot = self._writer.snapshot or snapshot
        for name, pair in self._spaces.items():
            items = _stored_items(snapshot, covered[name])
            for _, group in groupby(items, key=lambda item: item.container):
                self._complete_container(name, pair, list(group))
        self._writer.publish()

    def _complete_container(
        self, name: str, pair: tuple[Space, Encoder], items: list[_StoredItem]
    ) -> None:
        """Compute one space's rows for consecutive items of one file or tar."""
        space = pair[0]
        results: dict[str, EmbeddedItem | Failure] = {}
        relevant = [item for item in items if _embeds(space, item.modality)]
        if relevant:
            container = relevant[0].container
            source = Source(
                uri=container, path=uri_to_path(container), is_tar=container != items[0].uri
            )
            for embedded in self._embed([source], {name: pair}, {}):
                if isinstance(embedded, EmbeddedItem):
                    results[embedded.info.uri] = embedded
                elif isinstance(embedded, Failure):
                    results[embedded.uri] = embedded
        for item in items:
            result = results.get(item.uri)
            empty = np.empty(0, np.float32)
            segments = Segments([], empty, empty, np.empty((0, space.dim), np.float32))
            frames = None
            if isinstance(result, EmbeddedItem) and result.info.sha256 == item.sha256:
                segments, frames = result.segments[name], result.frames.get(name)
            elif item in relevant:
                reason = result.reason if isinstance(result, Failure) else "changed since embedded"
                self._writer.add_failure(Failure(item.uri, SPACE_STAGE, f"{reason} (space {name})"))
            self._writer.add_rows(item.item_id, name, segments, frames)
            self._report.completed += 1
            self._reconciler.report_progress()

    # ------------------------------------------------------------ decoding and encoding

    def _embed(
        self,
        sources: Iterable[Source],
        spaces: Spaces,
        known: Mapping[str, KnownFile],
        file_texts: frozenset[TextSource] = frozenset(),
    ) -> Iterator[EmbeddedItem | Failure | ItemUnchanged]:
        """Decode in worker processes, encode in this one, and publish full shards."""
        plan = decode_plan(list(spaces.values()), sound_of_videos=self._options.sound_of_videos)
        plan = replace(plan, file_texts=file_texts)
        assembler = Assembler(spaces, batch_samples=self._options.batch_samples)
        flushed = time.monotonic()
        for event in self._events(sources, plan, known):
            if isinstance(event, ItemUnchanged):
                yield event
                continue
            if isinstance(event, WordEvent):
                continue  # the plan requests none
            assembler.add(event)
            if time.monotonic() - flushed > FLUSH_SECONDS:
                assembler.flush()
                flushed = time.monotonic()
            yield from assembler.finished()
            if self._writer.is_due():
                self._writer.publish()
        assembler.flush()
        yield from assembler.finished()

    def _events(
        self, sources: Iterable[Source], plan: DecodePlan, known: Mapping[str, KnownFile]
    ) -> Iterator[DecodeEvent]:
        for event in decode_all(sources, plan, known, workers=self._options.workers):
            if isinstance(event, ItemDecoded):
                uri, damaged = event.info.uri, event.damaged_packets
                if damaged:
                    logger.warning("%s: %d damaged packets skipped", uri, damaged)
                for note in event.notes:
                    logger.warning("%s: %s", uri, note)
            yield event


@dataclass(frozen=True, slots=True)
class _StoredItem:
    """An existing item without rows in some space."""

    item_id: int
    uri: str
    modality: Medium
    sha256: str

    @property
    def container(self) -> str:
        """The file to open: the tar of a member, otherwise the item itself."""
        return container_of(self.uri)[0]


def _stored_items(snapshot: Snapshot, after_item_id: int) -> Iterator[_StoredItem]:
    for batch in snapshot.iter_items(after_item_id=after_item_id):
        columns = (
            batch.column(name).to_pylist() for name in ("item_id", "uri", "modality", "sha256")
        )
        for item_id, uri, modality, sha256 in zip(*columns, strict=True):
            yield _StoredItem(item_id, uri, Medium(modality), sha256)


def _embeds(space: Space, modality: Medium) -> bool:
    """Return whether items of a modality can have rows in a space; videos have sound, too."""
    return modality in space.media or (modality is Medium.VIDEO and Medium.AUDIO in space.media)
