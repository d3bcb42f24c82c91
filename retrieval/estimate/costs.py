"""Estimates items, segments, disk, index memory and time of sources or of a collection."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from indexes.sizes import IndexSize, index_sizes
from retrieval.embedding.options import (
    DEFAULT_MODEL,
    EmbedOptions,
    EncoderLoader,
    Spaces,
    open_spaces,
)
from retrieval.estimate.layouts import RowLayout, layouts_of_models, layouts_of_spaces
from retrieval.estimate.survey import Survey, survey
from retrieval.estimate.timing import BUDGET_SECONDS, measure
from retrieval.media.sources.find import find_sources
from retrieval.media.sources.listing import Listing
from retrieval.progress import Progress, no_progress
from retrieval.store.reader import Snapshot
from retrieval.types import Medium, Sampling

logger = logging.getLogger(__name__)

ITEM_BYTES = 150
"""Compressed columns of an item; digest, uri and caption compress badly."""

ROW_BYTES = 8
"""Compressed columns of a segment or frame, without its vector."""

INDEX_ROW_BYTES = 17
"""A row of rows.arrow: id, medium and times."""


@dataclass(frozen=True, slots=True)
class SpaceCost:
    """Rows and bytes of one space, and the size of every kind of index."""

    encoder: str
    dim: int
    segments: int
    frames: int
    bytes: int
    indexes: list[IndexSize]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimated cost of embedding and indexing.

    Attributes:
        items: Number of items by modality.
        media_bytes: Size of the media files; None for a collection.
        seconds: Duration by modality; empty for a collection.
        collection_bytes: Size of the collection on disk, without indexes.
        spaces: One entry per encoder.
        embed_seconds: Time to embed everything on this machine; None if not measured.
        notes: Assumptions behind the figures.
    """

    items: dict[str, int]
    media_bytes: int | None
    seconds: dict[str, float]
    collection_bytes: int
    spaces: list[SpaceCost]
    embed_seconds: float | None
    notes: list[str]

    def as_json(self) -> dict[str, object]:
        """Convert to a JSON object."""
        return asdict(self)


def estimate_collection(root: Path) -> Estimate:
    """Count the rows of a collection, and estimate the sizes of possible indexes.

    Raises:
        CollectionNotFoundError: The folder is not a collection.
    """
    snapshot = Snapshot.open(root)
    items: Counter[str] = Counter()
    for batch in snapshot.iter_items():
        items.update(batch.column("modality").to_pylist())
    spaces = []
    for space in snapshot.spaces:
        segments = snapshot.manifest.files_in(f"segments/{space.name}")
        frames = snapshot.manifest.files_in(f"frames/{space.name}")
        rows = sum(file.rows for file in segments)
        spaces.append(
            SpaceCost(
                space.encoder,
                space.dim,
                rows,
                sum(file.rows for file in frames),
                sum(file.bytes for file in (*segments, *frames)),
                _with_row_tables(index_sizes(rows, space.dim), rows),
            )
        )
    files = snapshot.manifest.files
    return Estimate(
        items={medium.value: items[medium.value] for medium in Medium},
        media_bytes=None,
        seconds={},
        collection_bytes=sum(f.bytes for f in files if not f.path.startswith("indexes/")),
        spaces=spaces,
        embed_seconds=None,
        notes=["counted in the collection, without its index"],
    )


def estimate_sources(
    sources: Sequence[str],
    options: EmbedOptions,
    *,
    timed: bool = True,
    budget_seconds: float = BUDGET_SECONDS,
    load: EncoderLoader | None = None,
    progress: Progress = no_progress,
) -> Estimate:
    """Estimate the cost of embedding sources.

    Args:
        sources: Sources of `embed`.
        options: Options of `embed`.
        timed: Load the models and time them on a few of the files.
        budget_seconds: Time to measure the models on files of each modality.
        load: Loads an encoder; None: `load_encoder`.
        progress: Receives the number of counted files.

    Raises:
        SourceError: A source does not exist or cannot be read as a list.
        ModelError: A model is unknown or not available.
    """
    listed = find_sources(
        sources,
        path_column=options.path_column,
        caption_column=options.caption_column,
        listing=Listing(options.exclude, lambda failure: None),  # `embed` reports failures.
    )
    result = survey((source for source in listed if options.needs(source.path)), progress)
    notes = list(_notes(result))
    seconds = None
    if timed:
        logger.info("loading the models")
        spaces = open_spaces(None, options, load)
        layouts = layouts_of_spaces(spaces)
        seconds, time_notes = _time(result, spaces, options.workers, budget_seconds)
        notes += time_notes
    else:
        layouts = layouts_of_models(options.models or (DEFAULT_MODEL,))
    costs = [_cost(layout, result, options.sampling) for layout in layouts]
    items = {medium.value: round(total.items) for medium, total in result.totals.items()}
    return Estimate(
        items=items,
        media_bytes=sum(total.bytes for total in result.totals.values()),
        seconds={
            medium.value: total.seconds
            for medium, total in result.totals.items()
            if medium is not Medium.IMAGE
        },
        collection_bytes=sum(items.values()) * ITEM_BYTES + sum(cost.bytes for cost in costs),
        spaces=costs,
        embed_seconds=seconds,
        notes=notes,
    )


def _notes(result: Survey) -> Iterator[str]:
    if result.probed:
        yield f"durations from {result.probed} recordings and videos, extrapolated by size"
    if result.unreadable:
        yield f"{result.unreadable} of those are unreadable; as many of the others are left out"


def _cost(layout: RowLayout, result: Survey, sampling: Sampling) -> SpaceCost:
    """Count the rows of one space: one per picture, audio window and clip."""
    image, audio, video = (result.totals[m] for m in (Medium.IMAGE, Medium.AUDIO, Medium.VIDEO))
    segments = frames = 0.0
    if Medium.IMAGE in layout.media:
        segments += image.items
    if Medium.AUDIO in layout.media:
        # The last window is not full: add half a window per recording.
        sound = audio.seconds + video.with_sound_seconds
        segments += sound / layout.hop_seconds + audio.items / 2
    if Medium.VIDEO in layout.media:
        segments += video.seconds / sampling.clip_seconds + video.items / 2
        frames = video.seconds * sampling.frames_per_second if layout.keeps_frames else 0.0
    rows, frame_rows = round(segments), round(frames)
    return SpaceCost(
        layout.spec,
        layout.dim,
        rows,
        frame_rows,
        (rows + frame_rows) * (2 * layout.dim + ROW_BYTES),
        _with_row_tables(index_sizes(rows, layout.dim), rows),
    )


def _with_row_tables(sizes: list[IndexSize], rows: int) -> list[IndexSize]:
    """Add the row table to the disk size of each index; equal rows are counted separately."""
    return [replace(size, disk_bytes=size.disk_bytes + INDEX_ROW_BYTES * rows) for size in sizes]


def _time(
    result: Survey, spaces: Spaces, workers: int, budget_seconds: float
) -> tuple[float, list[str]]:
    """Estimate the seconds to embed everything; returns them with notes."""
    seconds = 0.0
    notes = ["time from a few of the files, decoded and encoded here"]
    processes = max(1, min(workers, os.cpu_count() or 1))
    for medium, total in result.totals.items():
        able = {
            name: pair
            for name, pair in spaces.items()
            if medium in pair[0].media or (medium is Medium.VIDEO and Medium.AUDIO in pair[0].media)
        }
        if not total.items or not able:
            continue
        logger.info("timing %s", medium)
        rate = measure(medium, result.samples.get(medium, []), able, budget_seconds)
        if rate is None:
            notes.append(f"without the time of {medium}: no sampled file could be decoded")
            continue
        units = total.items if medium is Medium.IMAGE else total.seconds
        # Processes share the decoding; the encoder runs in one process.
        seconds += units * (rate.decode_seconds / processes + rate.encode_seconds)
    return seconds, notes
