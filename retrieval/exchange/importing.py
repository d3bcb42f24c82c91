"""Imports vectors of other tools, or exports of this program, into a collection.

Items that the collection has already stay unchanged, so a repeated import changes nothing and a
killed one can be resumed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from retrieval.columns.notices import Notices
from retrieval.embedding.options import FAILURES_KEPT
from retrieval.encoders.catalogue import CATALOGUE, load_encoder, resolve
from retrieval.encoders.spaces import make_space
from retrieval.errors import CollectionError, DimensionMismatchError, SourceError, UnknownModelError
from retrieval.exchange.item_rows import ItemReader, parse_medium
from retrieval.exchange.item_segments import InvalidRowsError, segments_of
from retrieval.exchange.item_streams import ItemStream, merge_streams
from retrieval.exchange.item_tables import ItemTable
from retrieval.exchange.options import ImportOptions
from retrieval.exchange.row_groups import ImportedItem, RowGroup
from retrieval.exchange.sources import VectorSource, open_source
from retrieval.exchange.space_file import NAME, read_space
from retrieval.media.captions import caption_texts
from retrieval.progress import Progress, no_progress
from retrieval.store.interrupts import publish_on_interrupt
from retrieval.store.known_files import KnownFiles
from retrieval.store.schema import MEDIUM_CODES
from retrieval.store.writer import CollectionWriter
from retrieval.types import (
    EmbeddedItem,
    Failure,
    Medium,
    Sampling,
    Space,
)

STAGE = "import"
"""Stage of the failures of an import."""


@dataclass(slots=True)
class ImportReport:
    """Counts of an import.

    Attributes:
        total: Rows of the source.
        rows: Rows read.
        added: Items added, by modality.
        unchanged: Items that were in the collection already.
        failed: Items that could not be imported.
        failures: The first failures.
        notes: Columns and values that were left out or stored in another form.
        seconds: Duration.
    """

    total: int
    rows: int = 0
    added: dict[Medium, int] = field(default_factory=lambda: dict.fromkeys(Medium, 0))
    unchanged: int = 0
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


def import_vectors(
    source: Path,
    root: Path,
    options: ImportOptions | None = None,
    progress: Progress = no_progress,
) -> ImportReport:
    """Add the vectors of a source to a collection, which is created if there is none.

    Args:
        source: As for `open_source`, or a folder of exports of several spaces of one collection.
        root: Folder of the collection.
        options: How to read the source.
        progress: Receives the number of rows read after every item.

    Raises:
        SourceError: The source cannot be read, or neither it nor the options name the model.
        DimensionMismatchError: The model's vectors have another length.
        CollectionError: The collection has items, but not this space.
    """
    options = options or ImportOptions()
    start = time.monotonic()
    with CollectionWriter.open(root, create=True) as writer, publish_on_interrupt(writer):
        streams = _open_streams(source, options, writer)
        report = ImportReport(total=sum(stream.source.rows for stream in streams))
        importer = _Importer(writer, report, streams)
        for piece in merge_streams(streams):
            for _ in importer.add_piece(piece):
                progress("import", report.rows, report.total)
                if writer.is_due():
                    writer.publish()
        report.notes = importer.notes()
    report.seconds = time.monotonic() - start
    return report


# ---------------------------------------------------------------- sources and their spaces


def _open_streams(
    source: Path, options: ImportOptions, writer: CollectionWriter
) -> list[ItemStream]:
    """Open a source, or the exports of several spaces in it, and add their spaces."""
    exports = sorted(path.parent for path in source.glob(f"*/{NAME}"))
    streams = [_open_stream(path, options, writer) for path in exports or [source]]
    manifest = writer.manifest
    existing = {space.name for space in manifest.spaces}
    for stream in streams:
        if stream.space.name in existing:
            continue
        if manifest.next_item_id:
            raise CollectionError(
                f"{writer.root} has items, but not the space {stream.space.name}; import into a "
                "new collection, or embed its files with this model"
            )
        writer.add_space(stream.space)
    return streams


def _open_stream(path: Path, options: ImportOptions, writer: CollectionWriter) -> ItemStream:
    exported_space = read_space(path if path.is_dir() else path.parent)
    is_export = exported_space is not None
    source = open_source(path, vector_column=options.vector_column, metadata=options.metadata)
    source = replace(source, notices=writer.notices.merge(source.notices))
    reader = ItemReader(source.base, options, exported=is_export, notices=writer.notices)
    if exported_space is not None and options.model is None:
        space = exported_space
    else:
        space = _space_of_model(source, reader, options, writer)
    if space.dim != source.dim:
        raise _dimension_error(path, source, space.encoder, space.dim)
    return ItemStream(source, space, reader, exported=is_export)


def _space_of_model(
    source: VectorSource, reader: ItemReader, options: ImportOptions, writer: CollectionWriter
) -> Space:
    """Return the collection's space of the named model, or else a new one."""
    if options.model is None:
        raise SourceError(f"{source.base} does not name the model that made its vectors; name it")
    block = next(replace(source, notices=Notices()).blocks(), None)
    if block is None or not block.descriptions.count:
        raise SourceError(f"{source.base} holds no rows")
    row = block.descriptions.slice(0, 1).rows()[0]
    medium = parse_medium(row.get("medium")) or reader.modality(row, reader.uri(row, ""))
    specification = _specification(options.model, medium)
    for space in writer.manifest.spaces:
        if space.encoder == specification:
            return space
    encoder = load_encoder(specification, device=options.device)
    if encoder.dim != source.dim:
        raise _dimension_error(source.base, source, specification, encoder.dim)
    return make_space(encoder, sampling=Sampling(), windows=encoder.windows)


def _dimension_error(
    path: Path, source: VectorSource, encoder: str, dim: int
) -> DimensionMismatchError:
    return DimensionMismatchError(
        f"{path} holds {source.dim}-d vectors, {encoder} makes {dim}-d ones; "
        "name the model that made them"
    )


def _specification(model: str, medium: Medium) -> str:
    """Return the encoder of a medium among those of a catalogue entry."""
    entry = CATALOGUE.get(model)
    if entry is None:
        return resolve(model)[0]
    for specification, media in entry.encoders.items():
        if medium in media:
            return specification
    raise UnknownModelError(f"{model} embeds no {medium}; name the model that made the vectors")


# ---------------------------------------------------------------- writing


class _Importer:
    """Adds items to the collection and counts the results."""

    def __init__(
        self, writer: CollectionWriter, report: ImportReport, streams: Sequence[ItemStream]
    ) -> None:
        self._writer = writer
        self._report = report
        self._readers = [stream.reader for stream in streams]
        self._ignored_vectors = 0
        snapshot = writer.snapshot
        self._known = snapshot.known_files() if snapshot else KnownFiles()
        self._failed: Mapping[str, Failure] = snapshot.failures() if snapshot else {}
        self._seen: set[str] = set()  # a stream has each item once, but streams can disagree

    def add_piece(self, piece: RowGroup | list[ImportedItem]) -> Iterator[None]:
        """Add items; yields after each step."""
        if not isinstance(piece, RowGroup):
            self.add(piece)
            yield
            return
        first, count = 0, len(piece.uris)
        while first < count:
            last = min(count, first + self._writer.free_rows())
            self._add_group(piece.slice(first, last))
            first = last
            yield

    def _add_group(self, group: RowGroup) -> None:
        """Add the items of a group in columns; those that need it, one by one."""
        new = ~self._known.contains(group.uris)
        unchanged = group.select(~new)
        self._report.unchanged += len(unchanged.uris)
        self._report.rows += len(unchanged.row_numbers)
        group = group.select(new)
        if not len(group.uris):
            return
        table = ItemTable.of(group)
        if table is None or not self._writer.holds_columns(table.user_columns):
            for item in group.items():
                self.add([item])
            return
        for item in group.select(~table.valid).items():
            self.add([item])
        group, modalities = group.select(table.valid), table.modalities[table.valid]
        if not len(group.uris):
            return
        self._writer.add_batch(table.batch(group.reader, group.space))
        self._report.rows += len(group.row_numbers)
        is_image = modalities == MEDIUM_CODES.index(Medium.IMAGE)
        self._ignored_vectors += int((group.counts[is_image] - 1).sum())
        for code, medium in enumerate(MEDIUM_CODES):
            self._report.added[medium] += int((modalities == code).sum())

    def add(self, parts: list[ImportedItem]) -> None:
        """Add an item, or record why it cannot be added."""
        first = parts[0]
        self._report.rows += sum(len(part.rows) for part in parts)
        if first.uri in self._known or first.uri in self._seen:
            self._report.unchanged += 1
            return
        self._seen.add(first.uri)
        info = first.reader.info(
            first.rows[0], first.uri, source=str(first.path), location=f"row {first.first_row}"
        )
        if info.modality is Medium.IMAGE:
            self._ignored_vectors += sum(len(part.rows) - 1 for part in parts)
        try:
            segments = {part.space.name: segments_of(part, info) for part in parts}
        except InvalidRowsError as error:
            self._add_failure(Failure(first.uri, STAGE, str(error), info.bytes, info.mtime))
            return
        info = replace(info, texts=tuple(caption_texts(info.caption)))
        self._writer.add(EmbeddedItem(info, segments))
        self._report.added[info.modality] += 1

    def notes(self) -> list[str]:
        """Return notes about columns and values that were left out or stored in another form."""
        notes = self._writer.notices.lines()
        if self._ignored_vectors:
            notes.append(
                f"{self._ignored_vectors} further vectors of pictures were left out: a picture has "
                "one"
            )
        missing = set().union(*(reader.missing_columns() for reader in self._readers))
        return notes + [f"no row has a column {name!r}" for name in sorted(missing)]

    def _add_failure(self, failure: Failure) -> None:
        self._report.failed += 1
        if len(self._report.failures) < FAILURES_KEPT:
            self._report.failures.append(failure)
        # A repeated import must not change the collection.
        if self._failed.get(failure.uri) != failure:
            self._writer.add_failure(failure)
