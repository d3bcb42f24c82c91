"""`embed`: decode, encode and shard every media file of some sources.

The story of one run: open the collection and its encoders; finish whatever an earlier run or a
newly added model left undone; then take in the files that are new or changed.
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
    Spaces,
    open_spaces,
    wanted_encoders,
)
from retrieval.embedding.reconciling import SPACE_STAGE, Reconciler
from retrieval.encoders.hub.cache import find_snapshot
from retrieval.encoders.inventory import MissingEncoder, MissingRepository, missing_repositories
from retrieval.encoders.names import unidentified_repository
from retrieval.encoders.spaces import decode_plan
from retrieval.errors import InvalidVectorError
from retrieval.media.decode import NO_ENCODER
from retrieval.media.names import container_of, uri_to_path
from retrieval.media.sources.find import find_sources
from retrieval.media.sources.listing import Listing, LiteralPaths
from retrieval.media.workers.pool import decode_all
from retrieval.protocols import Encoder
from retrieval.store.current import read_current
from retrieval.store.reader import Snapshot
from retrieval.store.writer import CollectionWriter, publish_on_interrupt
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
)

logger = logging.getLogger(__name__)

Find = Callable[[Listing], Iterator[Source]]
"""Lists the sources of a run, each time it is called."""

FLUSH_SECONDS = 30.0
"""Half-filled batches are encoded this often, so that a rare medium does not hold items back."""


def embed(
    sources: Sequence[str | os.PathLike[str] | LiteralPaths],
    root: Path,
    options: EmbedOptions | None = None,
    on_item: Callable[[EmbedReport], None] | None = None,
) -> EmbedReport:
    """Bring a collection up to date with some files: new ones added, changed ones replaced.

    Repeating it changes nothing; after a crash it goes on where the last published shard ended.

    Args:
        sources: Folders, files, quoted patterns, lists (CSV, JSONL, Parquet), tars; or
            `LiteralPaths` that mean themselves.
        root: Folder of the collection; made when it does not exist.
        options: How to read and embed.
        on_item: Called with the running report after every item.

    Raises:
        SourceError: A source does not exist, or a list names no files.
        DamagedMediaError: With `strict`, the first file that cannot be used.
        CollectionLockedError: Another writer is at work.
    """
    options = options or EmbedOptions()
    report = EmbedReport()
    began = time.monotonic()

    def find(listing: Listing) -> Iterator[Source]:
        return find_sources(
            [each if isinstance(each, LiteralPaths) else os.fspath(each) for each in sources],
            path_column=options.path_column,
            caption_column=options.caption_column,
            listing=listing,
        )

    with CollectionWriter.open(root, create=True) as writer, publish_on_interrupt(writer):
        run = _Run(writer, open_spaces(writer.snapshot, options), options, report, on_item)
        run.complete(find)
        run.take_in(find)
        writer.publish()
        report.notices += writer.notices.lines()
    report.seconds = time.monotonic() - began
    return report


def missing_encoders(root: Path, options: EmbedOptions) -> list[MissingEncoder]:
    """The encoders that a run of `embed` works with and this machine lacks."""
    snapshot = Snapshot.open(root) if read_current(root) else None
    unknown = [
        MissingEncoder(repo, model, [MissingRepository(repo, None, "")], optional=False)
        for model in options.models
        if (repo := unidentified_repository(model)) is not None and find_snapshot(repo) is None
    ]
    if unknown:
        return unknown  # what else is missing can be told when they are here
    return [
        MissingEncoder(wanted.spec, wanted.model, needed, wanted.optional)
        for wanted in wanted_encoders(snapshot, options)
        if (needed := missing_repositories(wanted.spec))
    ]


class _Run:
    """One call of `embed`: the writer, the encoders, and the running report."""

    def __init__(
        self,
        writer: CollectionWriter,
        spaces: Spaces,
        options: EmbedOptions,
        report: EmbedReport,
        on_item: Callable[[EmbedReport], None] | None,
    ) -> None:
        self._writer = writer
        self._spaces = spaces
        self._options = options
        self._report = report
        self._on_item = on_item
        self._files = Reconciler(writer, options, report, self._tell)
        existing = {space.name for space in writer.snapshot.spaces} if writer.snapshot else set()
        for name, (space, _) in spaces.items():
            if name not in existing:
                writer.add_space(space)
        writer.exclude_spaces(existing - spaces.keys())

    # ------------------------------------------------------------ new and changed files

    def take_in(self, find: Find) -> None:
        """Embed the sources that the collection does not hold as they are now."""
        known = self._files.known.files
        wanted = self._files.wanted(find(self._files.listing))
        for result in self._embedded(wanted, self._spaces, known):
            self._store(result, known)
        self._files.finish()

    def _store(
        self, result: EmbeddedItem | Failure | ItemUnchanged, known: Mapping[str, KnownFile]
    ) -> None:
        if isinstance(result, ItemUnchanged):
            if result.info is not None:
                self._files.unchanged(result.info)
            return
        if isinstance(result, EmbeddedItem):
            self._files.met(result.info.uri)
            older = known.get(result.info.uri)
            if older is not None and older.sha256 == result.info.sha256:
                self._files.unchanged(result.info)  # a member of a tar that was renamed
                return
            self._add(result, older)
        elif result.stage == NO_ENCODER:
            self._files.met(result.uri)
            self._report.without_encoder += 1
        else:
            self._files.fail(result)
            return
        self._tell()

    def _add(self, item: EmbeddedItem, older: KnownFile | None) -> None:
        info = item.info
        try:
            self._writer.add(replace(item, replaces=older.item_id if older else None))
        except InvalidVectorError as error:
            self._files.fail(Failure(info.uri, "encode", str(error), info.bytes, info.mtime))
            return
        self._report.added[info.modality] += 1
        self._report.without_segments += not any(one.media for one in item.segments.values())
        self._report.replaced += older is not None

    # ------------------------------------------------------------ unfinished and further spaces

    def complete(self, find: Find) -> None:
        """Compute what a space lacks of the items that exist, so that every space covers them all.

        A killed run or a newly added model leaves such gaps. Closing them before anything new is
        added keeps item ids ascending within every space.
        """
        snapshot = self._writer.snapshot
        if snapshot is None or snapshot.manifest.next_item_id == 0:
            return
        existing = {space.name for space in snapshot.spaces}
        covered = {n: snapshot.last_embedded_id(n) if n in existing else -1 for n in self._spaces}
        if all(last == snapshot.manifest.next_item_id - 1 for last in covered.values()):
            return
        # The files of items are read below: by then the collection knows where they are.
        if self._files.follow_renames(find(Listing(self._options.exclude, lambda failure: None))):
            self._writer.publish()
            snapshot = self._writer.snapshot or snapshot
        for name, pair in self._spaces.items():
            items = _living_items(snapshot, covered[name])
            for _, run in groupby(items, key=lambda item: item.container):
                self._complete_container(name, pair, list(run))
        self._writer.publish()

    def _complete_container(
        self, name: str, pair: tuple[Space, Encoder], items: list[_Existing]
    ) -> None:
        """Compute one space's rows for neighbouring items of one file or tar."""
        space = pair[0]
        results: dict[str, EmbeddedItem | Failure] = {}
        relevant = [item for item in items if _embeds(space, item.modality)]
        if relevant:
            container = relevant[0].container
            source = Source(
                uri=container, path=uri_to_path(container), is_tar=container != items[0].uri
            )
            for result in self._embedded([source], {name: pair}, {}):
                if isinstance(result, EmbeddedItem):
                    results[result.info.uri] = result
                elif isinstance(result, Failure):
                    results[result.uri] = result
        for item in items:
            found = results.get(item.uri)
            empty = np.empty(0, np.float32)
            segments = Segments([], empty, empty, np.empty((0, space.dim), np.float32))
            frames = None
            if isinstance(found, EmbeddedItem) and found.info.sha256 == item.sha256:
                segments, frames = found.segments[name], found.frames.get(name)
            elif item in relevant:
                reason = found.reason if isinstance(found, Failure) else "changed since embedded"
                self._writer.add_failure(Failure(item.uri, SPACE_STAGE, f"{reason} (space {name})"))
            self._writer.add_rows(item.item_id, name, segments, frames)
            self._report.completed += 1
            self._tell()

    # ------------------------------------------------------------ decoding and encoding

    def _embedded(
        self, sources: Iterable[Source], spaces: Spaces, known: Mapping[str, KnownFile]
    ) -> Iterator[EmbeddedItem | Failure | ItemUnchanged]:
        """Decode in worker processes while this one encodes; publish when a shard is due."""
        plan = decode_plan(list(spaces.values()), sound_of_videos=self._options.sound_of_videos)
        assembler = Assembler(spaces, batch_samples=self._options.batch_samples)
        flushed = time.monotonic()
        for event in self._events(sources, plan, known):
            if isinstance(event, ItemUnchanged):
                yield event
                continue
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
            if isinstance(event, ItemDecoded) and event.damaged_packets:
                logger.warning(
                    "%s: %d damaged packets skipped", event.info.uri, event.damaged_packets
                )
            if isinstance(event, ItemDecoded):
                for note in event.notes:
                    logger.warning("%s: %s", event.info.uri, note)
            yield event

    def _tell(self) -> None:
        if self._on_item is not None:
            self._on_item(self._report)


@dataclass(frozen=True, slots=True)
class _Existing:
    """A living item that some space has not been computed for."""

    item_id: int
    uri: str
    modality: Medium
    sha256: str

    @property
    def container(self) -> str:
        """The file to open: the tar for a member, else the item itself."""
        return container_of(self.uri)[0]


def _living_items(snapshot: Snapshot, after_item_id: int) -> Iterator[_Existing]:
    for batch in snapshot.iter_items(after_item_id=after_item_id):
        columns = (
            batch.column(name).to_pylist() for name in ("item_id", "uri", "modality", "sha256")
        )
        for item_id, uri, modality, sha256 in zip(*columns, strict=True):
            yield _Existing(item_id, uri, Medium(modality), sha256)


def _embeds(space: Space, modality: Medium) -> bool:
    """Whether items of a modality can have rows in a space: a video has frames and sound."""
    return modality in space.media or (modality is Medium.VIDEO and Medium.AUDIO in space.media)
