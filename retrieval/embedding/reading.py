"""Read writing and speech of items that are in the collection, after they were embedded.

An item that was read has at least one text of the source: an empty one if it holds no words. An
interrupted run therefore continues with the items that have none.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from retrieval.embedding.options import FAILURES_KEPT, EmbedOptions, EmbedReport
from retrieval.encoders.whisper import Whisper, find_whisper
from retrieval.errors import DamagedMediaError
from retrieval.media.audio.speech import Stretch
from retrieval.media.names import container_of, uri_to_path
from retrieval.media.ocr.engine import require_ocr
from retrieval.media.workers.pool import decode_all
from retrieval.progress import Progress
from retrieval.store.reader import Snapshot
from retrieval.store.text_rows import TextUpdate
from retrieval.store.writer import CollectionWriter
from retrieval.types import (
    DecodedSpeech,
    DecodedTexts,
    DecodeEvent,
    DecodePlan,
    Failure,
    ItemDecoded,
    KnownFile,
    Medium,
    Source,
    TextSource,
    TimedText,
)

READ_MEDIA = {
    TextSource.OCR: (Medium.IMAGE, Medium.VIDEO),
    TextSource.SPEECH: (Medium.AUDIO, Medium.VIDEO),
}
"""The modalities in which a source reads words."""

TASKS = {TextSource.OCR: "reading writing", TextSource.SPEECH: "reading speech"}

OCR_BYTES = 2 << 30
"""Memory of the machine for each process that reads writing; it needs about half of this."""


TIMEOUT_SECONDS = 1_800.0
"""A process without a message for longer counts as hanging; a long strip of dense text takes
minutes."""


def check_readers(options: EmbedOptions) -> None:
    """Check before a long run that everything it needs to read words is on this machine.

    Raises:
        MissingExtraError: An extra is not installed.
        ModelError: The speech model is unknown, not on this machine or damaged.
    """
    if TextSource.OCR in options.texts:
        require_ocr()
    if TextSource.SPEECH in options.texts:
        find_whisper(options.speech_model)


@dataclass(frozen=True, slots=True)
class _Item:
    """An item to read."""

    item_id: int
    uri: str
    file: KnownFile


class WordReader:
    """Reads the words of a run's items, and counts them.

    Args:
        writer: Receives the texts, and publishes them once a minute.
        options: `texts`, `speech_model`, `refresh` and `retry_failed` are used, among others.
        report: Receives counts and failures.
        progress: Updated after every item.
    """

    def __init__(
        self,
        writer: CollectionWriter,
        options: EmbedOptions,
        report: EmbedReport,
        progress: Progress,
    ) -> None:
        self._writer = writer
        self._options = options
        self._report = report
        self._progress = progress
        self._failed: dict[str, Failure] = {}

    def read(self, uris: Collection[str]) -> None:
        """Read the items with these uris that were not read before."""
        for source in READ_MEDIA:
            snapshot = self._writer.snapshot
            if source not in self._options.texts or snapshot is None:
                continue
            items = self._unread_items(snapshot, source, uris)
            if items:
                self._read_items(source, items)
                self._writer.publish()

    def _unread_items(
        self, snapshot: Snapshot, source: TextSource, uris: Collection[str]
    ) -> dict[str, _Item]:
        """Return the items to read by uri, in order of their ids."""
        read = frozenset[int]() if self._options.refresh else snapshot.ids_with_texts(source)
        retries = self._options.retry_failed or self._options.refresh
        self._failed = snapshot.failures()
        items: dict[str, _Item] = {}
        names = ("item_id", "uri", "modality", "bytes", "mtime", "sha256")
        for batch in snapshot.iter_items():
            columns = (batch.column(name).to_pylist() for name in names)
            for item_id, uri, modality, size, mtime, sha256 in zip(*columns, strict=True):
                if uri not in uris or item_id in read or modality not in READ_MEDIA[source]:
                    continue
                if self._has_failed(uri, source) and not retries:
                    continue
                items[uri] = _Item(item_id, uri, KnownFile(item_id, size, mtime, sha256))
        return items

    def _read_items(self, source: TextSource, items: dict[str, _Item]) -> None:
        plan = DecodePlan(sampling=self._options.sampling, words=frozenset({source}))
        whisper = None
        if source is TextSource.SPEECH:
            whisper = Whisper.load(self._options.speech_model, device=self._options.device)
        events = decode_all(
            _sources(items),
            plan,
            self._members_to_skip(items),
            workers=self._workers(source),
            timeout_seconds=TIMEOUT_SECONDS,
        )
        task, done = TASKS[source], 0
        self._progress(task, 0, len(items))
        for item in _collected(events, whisper):
            if isinstance(item, float):
                self._progress(task, done, len(items), f"{item:,.0f} s")
                continue
            done += self._store(source, items, item)
            self._progress(task, done, len(items))
            if self._writer.is_due():
                self._writer.publish()

    def _store(self, source: TextSource, items: dict[str, _Item], read: _ReadItem) -> int:
        """Store the texts of an item, or its failure; return the number of items that are done."""
        item = items.get(read.uri)
        if item is None:  # a tar that cannot be opened; embedding has reported it
            return 0
        if read.failure is not None:
            self._record_failure(
                Failure(read.uri, source, read.failure, item.file.bytes, item.file.mtime)
            )
        elif read.sha256 == item.file.sha256:  # else the next run embeds it again
            texts = tuple(read.texts) or (TimedText(source, ""),)
            self._writer.update_texts(item.item_id, TextUpdate(texts, frozenset({source})))
            if self._has_failed(read.uri, source):
                self._writer.resolve_failure(read.uri)
            self._report.read[source] += 1
        return 1

    def _record_failure(self, failure: Failure) -> None:
        self._writer.add_failure(failure)
        if self._options.strict:
            raise DamagedMediaError(
                f"{failure.uri}: {failure.reason}; embed without strict to skip it"
            )
        self._report.unread += 1
        if len(self._report.failures) < FAILURES_KEPT:
            self._report.failures.append(failure)

    def _has_failed(self, uri: str, source: TextSource) -> bool:
        return uri in self._failed and self._failed[uri].stage == source

    def _members_to_skip(self, items: dict[str, _Item]) -> dict[str, KnownFile]:
        """Return the members of archives that need not be read, as known files."""
        snapshot = self._writer.snapshot
        if snapshot is None or not any(container_of(uri)[1] for uri in items):
            return {}
        known = snapshot.known_files()
        return {uri: file for uri, file in known.items() if uri not in items and "!" in uri}

    def _workers(self, source: TextSource) -> int:
        workers = self._options.workers
        if source is not TextSource.OCR or workers == 0:
            return workers
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return max(1, min(workers, memory // OCR_BYTES))


@dataclass(slots=True)
class _ReadItem:
    """What reading an item gave: its texts, or the reason of a failure."""

    uri: str
    sha256: str
    texts: list[TimedText]
    failure: str | None = None


def _sources(items: dict[str, _Item]) -> Iterator[Source]:
    """Yield the files and archives that contain the items, each once."""
    seen: set[str] = set()
    for uri in items:
        container = container_of(uri)[0]
        if container not in seen:
            seen.add(container)
            yield Source(container, uri_to_path(container), is_tar=container != uri)


def _collected(
    events: Iterator[DecodeEvent], whisper: Whisper | None
) -> Iterator[_ReadItem | float]:
    """Yield what was read in each item, and positions in seconds while one is being read."""
    texts: list[TimedText] = []
    failure: str | None = None
    for event in events:
        if isinstance(event, DecodedTexts):
            texts += event.texts
            yield event.seconds
        elif isinstance(event, DecodedSpeech) and whisper is not None and failure is None:
            try:
                texts += whisper.read(Stretch(event.start_seconds, event.samples))
            except Exception as error:  # the model's library raises arbitrary exceptions
                failure = " ".join(str(error).split()) or type(error).__name__
            yield event.start_seconds
        elif isinstance(event, ItemDecoded | Failure):
            if isinstance(event, Failure):
                yield _ReadItem(event.uri, "", [], event.reason)
            else:
                yield _ReadItem(event.info.uri, event.info.sha256, texts, failure)
            texts, failure = [], None
            if whisper is not None:
                whisper.start_recording()
