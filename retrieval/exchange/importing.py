"""`import`: vectors that another tool made, or an export of this one, become a collection.

Rows that name one item are its segments, wherever they are. An item that the collection has is
left as it is, so that repeating an import changes nothing and a killed one goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from indexes.vectors import scale_extremes
from retrieval.columns.notices import Notices
from retrieval.embedding.options import FAILURES_KEPT
from retrieval.encoders.catalogue import CATALOGUE, load_encoder, resolve
from retrieval.encoders.spaces import make_space
from retrieval.errors import CollectionError, DimensionMismatchError, SourceError, UnknownModelError
from retrieval.exchange.card import read_card
from retrieval.exchange.describe import Describer, medium_named, segment_of
from retrieval.exchange.layouts import Layout, open_layout
from retrieval.exchange.streams import ForeignItem, Stream, merged
from retrieval.store.writer import CollectionWriter, publish_what_is_whole
from retrieval.types import (
    EmbeddedItem,
    Failure,
    KnownFile,
    MediaInfo,
    Medium,
    Sampling,
    Segments,
    Space,
)

STAGE = "import"
"""Stage of the failures that are written here."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How foreign vectors are read.

    Attributes:
        model: What made the vectors, a catalogue name or specification; None where the source says.
        medium: What an item is where neither a column nor its name says.
        vector_column: Parquet column of the vectors; None: the only one, or a usual name.
        path_column: Column of the paths or addresses; None: a usual name.
        caption_column: Column of the captions; None: a usual name.
        metadata: List that describes the rows of a single .npy file; None: the one beside it.
        digest: Read the media files that exist for their sha256, which a further model needs.
        columns: The columns to keep beside those that describe an item; None keeps all.
        drop: Columns to leave out.
    """

    model: str | None = None
    medium: Medium = Medium.IMAGE
    vector_column: str | None = None
    path_column: str | None = None
    caption_column: str | None = None
    metadata: Path | None = None
    digest: bool = True
    columns: tuple[str, ...] | None = None
    drop: tuple[str, ...] = ()
    device: str = "auto"


@dataclass(slots=True)
class ImportReport:
    """What an import did, counted as it goes.

    `rows` of `total` are done; `unchanged` items were there already, in the collection or earlier
    in the source.
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
    progress: Callable[[ImportReport], None] = lambda report: None,
) -> ImportReport:
    """Add the vectors of a source to a collection, made where there is none.

    Args:
        source: What `open_layout` takes, or a folder of several exports of one collection.
        root: Folder of the collection.
        options: How to read the source.
        progress: Called with the running report after every item.

    Raises:
        SourceError: The source cannot be read, or does not say which model made its vectors.
        DimensionMismatchError: The model's vectors have another length.
        CollectionError: The collection has items already, and not this space.
    """
    options = options or ImportOptions()
    began = time.monotonic()
    with CollectionWriter.open(root, create=True) as writer, publish_what_is_whole(writer):
        streams = _streams(source, options, writer)
        report = ImportReport(total=sum(stream.layout.rows for stream in streams))
        report.notes = [stream.layout.note for stream in streams if stream.layout.note]
        run = _Run(writer, report, streams)
        for item in merged(streams):
            run.take(item)
            progress(report)
            if writer.due():
                writer.publish()
        report.notes += run.notices()
    report.seconds = time.monotonic() - began
    return report


# ---------------------------------------------------------------- sources and their spaces


def _streams(source: Path, options: ImportOptions, writer: CollectionWriter) -> list[Stream]:
    """The source, or the exports of several spaces in it; their spaces join the collection."""
    exports = sorted(path.parent for path in source.glob("*/space.json"))
    streams = [_stream(folder, options, writer) for folder in exports or [source]]
    manifest = writer.manifest
    existing = {space.name for space in manifest.spaces}
    for stream in streams:
        if stream.space.name in existing:
            continue
        if manifest.next_item_id:
            raise CollectionError(
                f"{writer.root} has items, but not the space {stream.space.name}; import into a "
                "new collection, or embed its files with a further --model"
            )
        writer.add_space(stream.space)
    return streams


def _stream(folder: Path, options: ImportOptions, writer: CollectionWriter) -> Stream:
    card = read_card(folder) if folder.is_dir() else read_card(folder.parent)
    layout = open_layout(folder, vector_column=options.vector_column, metadata=options.metadata)
    layout = replace(layout, notices=writer.notices.joined(layout.notices))
    describer = Describer(
        layout.base,
        exported=card is not None,
        medium=options.medium,
        path_column=options.path_column,
        caption_column=options.caption_column,
        digest=options.digest,
        columns=options.columns,
        drop=options.drop,
        notices=writer.notices,
    )
    if card is not None and options.model is None:
        space = card
    else:
        space = _space(layout, describer, options, writer)
    if space.dim != layout.dim:
        raise DimensionMismatchError(
            f"{folder} holds {layout.dim}-d vectors, {space.encoder} makes {space.dim}-d ones; "
            "name the model that made them"
        )
    return Stream(layout, space, describer, exported=card is not None)


def _space(
    layout: Layout, describer: Describer, options: ImportOptions, writer: CollectionWriter
) -> Space:
    """The space of the model that the user names; a collection's own is taken as it is."""
    if options.model is None:
        raise SourceError(f"{layout.base} does not say what made its vectors; name it: --model")
    first = next(replace(layout, notices=Notices()).blocks(), None)
    if first is None or not first.rows:
        raise SourceError(f"{layout.base} holds no rows")
    row = first.rows[0]
    medium = medium_named(row.get("medium")) or describer.modality(row, describer.uri(row, ""))
    spec = _spec_for(options.model, medium)
    for space in writer.manifest.spaces:
        if space.encoder == spec:
            return space
    encoder = load_encoder(spec, device=options.device)
    if encoder.dim != layout.dim:
        raise DimensionMismatchError(
            f"{layout.base} holds {layout.dim}-d vectors, {spec} makes {encoder.dim}-d ones; "
            "name the model that made them"
        )
    return make_space(encoder, sampling=Sampling(), windows=encoder.windows)


def _spec_for(model: str, medium: Medium) -> str:
    """The encoder of a medium among those that a name stands for."""
    entry = CATALOGUE.get(model)
    if entry is None:
        return resolve(model)[0]
    able = [spec for spec, media in entry.encoders.items() if medium in media]
    if not able:
        raise UnknownModelError(
            f"--model {model} embeds no {medium}; name the model that made the vectors"
        )
    return able[0]


# ---------------------------------------------------------------- writing


class _Run:
    """Takes items into the collection and counts what becomes of them."""

    def __init__(
        self, writer: CollectionWriter, report: ImportReport, streams: Sequence[Stream]
    ) -> None:
        self._writer = writer
        self._report = report
        self._describers = [stream.describer for stream in streams]
        self._left_out = 0
        snapshot = writer.snapshot
        self._known: dict[str, KnownFile] = snapshot.known_files() if snapshot else {}
        self._failed: Mapping[str, Failure] = snapshot.failures() if snapshot else {}
        self._seen: set[str] = set()

    def take(self, parts: list[ForeignItem]) -> None:
        """Add an item, or record why it cannot be."""
        uri = parts[0].uri
        self._report.rows += sum(len(part.rows) for part in parts)
        if uri in self._known or uri in self._seen:
            self._report.unchanged += 1
            return
        self._seen.add(uri)
        info = parts[0].describer.info(
            parts[0].rows[0], uri, source=str(parts[0].path), place=f"row {parts[0].first_row}"
        )
        if info.modality is Medium.IMAGE:
            self._left_out += sum(len(part.rows) - 1 for part in parts)
        segments: dict[str, Segments] = {}
        for part in parts:
            found = _segments(part, info)
            if isinstance(found, str):
                self._fail(Failure(uri, STAGE, found, info.bytes, info.mtime))
                return
            segments[part.space.name] = found
        self._writer.add(EmbeddedItem(info, segments))
        self._report.added[info.modality] += 1

    def notices(self) -> list[str]:
        """What was stored in another form, or left out."""
        notices = self._writer.notices.lines()
        if self._left_out:
            notices.append(
                f"{self._left_out} further vectors of pictures were left out: a picture has one"
            )
        missing = {name for describer in self._describers for name in describer.missing_columns()}
        return notices + [f"no row has a column {name!r}" for name in sorted(missing)]

    def _fail(self, failure: Failure) -> None:
        self._report.failed += 1
        if len(self._report.failures) < FAILURES_KEPT:
            self._report.failures.append(failure)
        if (
            self._failed.get(failure.uri) != failure
        ):  # else a repeated import would change something
            self._writer.fail(failure)


def _segments(part: ForeignItem, info: MediaInfo) -> Segments | str:
    """The rows of an item, checked and at unit length; or what is wrong with them."""
    rows = part.rows[:1] if info.modality is Medium.IMAGE else part.rows
    described = [segment_of(row, info) for row in rows]
    media = [medium for medium, _, _ in described]
    strange = next((medium for medium in media if medium not in part.space.media), None)
    if strange is not None:
        return f"{part.place}: of {strange}, which {part.space.encoder} does not embed"
    starts, ends = (np.array([row[n] for row in described], np.float32) for n in (1, 2))
    if info.modality is not Medium.IMAGE and not (starts < ends).all():
        return (
            f"{part.place}: a row of a recording or video needs start_seconds before end_seconds, "
            "or the item duration_seconds"
        )
    # Squares of finite numbers such as 1e200 overflow.
    vectors = scale_extremes(part.vectors[: len(rows)].astype(np.float64))
    lengths = np.linalg.norm(vectors, axis=1)
    right = np.isfinite(lengths) & (lengths > 0)
    if not right.all():
        return f"{part.place}: vector {int(right.argmin())} of it is missing, NaN, infinite or zero"
    order = np.lexsort((starts, np.array(media))) if len(rows) > 1 else np.arange(1)
    return Segments(
        [media[place] for place in order],
        starts[order],
        ends[order],
        (vectors / lengths[:, None]).astype(np.float32)[order],
    )
