"""`embed`: decode, encode and store the media files of some sources.

A run opens the collection and its encoders, completes the spaces that lack rows of existing items,
and then embeds new and changed files.
"""

from __future__ import annotations

import logging
import os
import time
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
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
)
from retrieval.embedding.reading import WordReader, check_readers
from retrieval.embedding.reconciling import Reconciler
from retrieval.embedding.stored_items import StoredItem, embeds, stored_items
from retrieval.embedding.units import ListSources, listed_unit
from retrieval.encoders.spaces import decode_plan
from retrieval.errors import InvalidVectorError
from retrieval.failure_stages import SPACE_STAGE
from retrieval.media.decode import NO_ENCODER
from retrieval.media.names import uri_to_path
from retrieval.media.sources.find import find_sources
from retrieval.media.sources.listing import Listing, LiteralPaths
from retrieval.media.workers.pool import decode_all
from retrieval.media.workers.process import WorkerProcess
from retrieval.progress import Progress, no_progress
from retrieval.protocols import Encoder
from retrieval.store.interrupts import publish_on_interrupt
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
    Segments,
    Source,
    Space,
    TextSource,
    WordEvent,
)

logger = logging.getLogger(__name__)

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
    list_sources = source_lister(sources, options)
    report = EmbedReport()
    start = time.monotonic()
    check_readers(options)
    with (
        CollectionWriter.open(root, create=True) as writer,
        publish_on_interrupt(writer),
        PublishedProgress(root, progress, report.counts, total) as published,
    ):
        spaces = open_spaces(writer.snapshot, options, load)
        run = EmbedRun(writer, spaces, options, report, published)
        run.complete_spaces(list_sources)
        run.embed_files(list_sources)
        writer.publish()
        run.read_words()
        report.notices += writer.notices.lines()
    report.seconds = time.monotonic() - start
    return report


def source_lister(
    sources: Sequence[str | os.PathLike[str] | LiteralPaths], options: EmbedOptions
) -> ListSources:
    """Return a function that lists the sources of a run; see `find_sources`."""

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

    return list_sources if options.unit is None else listed_unit(list_sources, options.unit)


class EmbedRun:
    """One call of `embed`: the writer, the encoders, and the report.

    Attributes:
        unchanged_elsewhere: Files whose content is not in this collection but in `elsewhere`, the
            files of the collection that receives the items.
    """

    def __init__(
        self,
        writer: CollectionWriter,
        spaces: Spaces,
        options: EmbedOptions,
        report: EmbedReport,
        progress: Progress,
        *,
        elsewhere: Mapping[str, KnownFile] | None = None,
        spare_decoders: list[WorkerProcess] | None = None,
    ) -> None:
        self._writer = writer
        self._spaces = spaces
        self._elsewhere = elsewhere or {}
        self._spare_decoders = spare_decoders
        self.unchanged_elsewhere: list[ItemUnchanged] = []
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
        own = self._reconciler.known.files
        sources = self._reconciler.select(list_sources(self._reconciler.listing))
        texts = self._reconciler.texts.file_texts
        known: Mapping[str, KnownFile] = own
        if self._elsewhere:
            known = ChainMap(own, dict(self._elsewhere))  # type: ignore[arg-type]  # only read
        for result in self._embed(sources, self._spaces, known, texts):
            if not self._is_elsewhere(result):
                self._store(result, own)
        self._reconciler.finish()

    def read_words(self) -> None:
        """Read the writing and speech of the run's items, if the options request it."""
        WordReader(self._writer, self._options, self._report, self._progress).read(
            self._reconciler.seen
        )

    def _is_elsewhere(self, result: EmbeddedItem | Failure | ItemUnchanged) -> bool:
        """Record a file whose content the receiving collection has."""
        if isinstance(result, EmbeddedItem):
            uri, info = result.info.uri, result.info
            known = self._elsewhere.get(uri)
            if known is None or known.sha256 != info.sha256 or uri in self._reconciler.known.files:
                return False
            result = ItemUnchanged(uri, info, self._reconciler.texts.file_texts)
        elif not isinstance(result, ItemUnchanged) or result.uri in self._reconciler.known.files:
            return False
        if result.info is not None:
            self._reconciler.mark_seen(result.uri)
            self.unchanged_elsewhere.append(result)
            self._report.unchanged += 1
            self._reconciler.report_progress()
        return True

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
            items = stored_items(snapshot, covered[name])
            for _, group in groupby(items, key=lambda item: item.container):
                self._complete_container(name, pair, list(group))
        self._writer.publish()

    def _complete_container(
        self, name: str, pair: tuple[Space, Encoder], items: list[StoredItem]
    ) -> None:
        """Compute one space's rows for consecutive items of one file or tar."""
        space = pair[0]
        results: dict[str, EmbeddedItem | Failure] = {}
        relevant = [item for item in items if embeds(space, item.modality)]
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
        spare, workers = self._spare_decoders, self._options.workers
        for event in decode_all(sources, plan, known, workers=workers, spare=spare):
            if isinstance(event, ItemDecoded):
                uri, damaged = event.info.uri, event.damaged_packets
                if damaged:
                    logger.warning("%s: %d damaged packets skipped", uri, damaged)
                for note in event.notes:
                    logger.warning("%s: %s", uri, note)
            yield event
