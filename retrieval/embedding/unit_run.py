"""Embeds one unit of a divided run into a collection of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from retrieval.embedding.options import (
    EmbedOptions,
    EmbedReport,
    EncoderLoader,
    Spaces,
    open_spaces,
)
from retrieval.embedding.reading import check_readers
from retrieval.embedding.run import EmbedRun
from retrieval.embedding.units import ListSources, Unit
from retrieval.media.sources.listing import Listing
from retrieval.media.workers.process import WorkerProcess
from retrieval.progress import Progress, no_progress
from retrieval.store.interrupts import publish_on_interrupt
from retrieval.store.writer import CollectionWriter
from retrieval.types import ItemUnchanged, Source


def complete_spaces(
    list_sources: ListSources,
    writer: CollectionWriter,
    spaces: Spaces,
    options: EmbedOptions,
    progress: Progress = no_progress,
) -> int:
    """Compute the rows of existing items that some spaces lack; return their number."""
    report = EmbedReport()
    EmbedRun(writer, spaces, options, report, progress).complete_spaces(list_sources)
    return report.completed


@dataclass(slots=True)
class UnitResult:
    """What a unit found besides the items in its collection.

    Attributes:
        report: Its counts.
        unchanged: Files whose content the receiving collection has; their texts can be new.
    """

    report: EmbedReport
    unchanged: list[ItemUnchanged]


def embed_unit(
    unit: Unit,
    root: Path,
    options: EmbedOptions,
    progress: Progress = no_progress,
    *,
    load: EncoderLoader | None = None,
    spare_decoders: list[WorkerProcess] | None = None,
) -> UnitResult:
    """Embed a unit into a collection of its own, as `embed` would into the receiving collection.

    A second call continues after the last published shard.

    Args:
        unit: The sources, and what the receiving collection knows of them.
        root: Folder of the collection; created if it does not exist.
        options: Options of the run.
        progress: Updated after every item, without a total.
        load: Loads an encoder; None: `load_encoder`.
        spare_decoders: Decoding processes that units share; see `decode_all`.

    Raises:
        As `embed`.
    """

    def list_sources(listing: Listing) -> Iterator[Source]:
        listing.bases = list(unit.bases)
        return iter(unit.sources)

    report = EmbedReport()
    check_readers(options)
    with CollectionWriter.open(root, create=True) as writer, publish_on_interrupt(writer):
        if writer.snapshot is None:
            writer.declare_columns(unit.columns)
        spaces = open_spaces(unit, options, load)
        run = EmbedRun(
            writer,
            spaces,
            options,
            report,
            progress,
            elsewhere=unit.known,
            spare_decoders=spare_decoders,
        )
        run.embed_files(list_sources)
        writer.publish()
        run.read_words()
        report.notices += writer.notices.lines()
    return UnitResult(report, run.unchanged_elsewhere)
