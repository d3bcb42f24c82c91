"""`estimate`: items, segments, disk, index memory and time, of sources or of a collection."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from indexes.sizes import IndexSize, index_sizes
from retrieval.embedding.options import DEFAULT_MODEL, EmbedOptions, Spaces, open_spaces
from retrieval.estimate.calibrate import Rate, measure
from retrieval.estimate.shapes import Shape, shapes_of_models, shapes_of_spaces
from retrieval.estimate.survey import Survey, survey
from retrieval.media.sources.find import find_sources
from retrieval.media.sources.listing import Listing
from retrieval.store.reader import Snapshot
from retrieval.types import Medium, Sampling

ITEM_BYTES = 150
"""An item's columns on disk, compressed: digest, uri and caption do not shrink much."""

ROW_BYTES = 8
"""A segment's or frame's columns beside its vector, likewise."""

INDEX_ROW_BYTES = 17
"""A row of an index's rows.arrow: id, medium and times."""


@dataclass(frozen=True, slots=True)
class SpaceCost:
    """One space: what its encoder makes of the items, and what every kind of index takes."""

    encoder: str
    dim: int
    segments: int
    frames: int
    bytes: int
    indexes: list[IndexSize]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What embedding and indexing will take.

    Attributes:
        items: By modality.
        media_bytes: Of the media files; None for a collection.
        seconds: Playing time by modality; empty for a collection.
        collection_bytes: The collection on disk, without an index.
        spaces: One for each encoder.
        embed_seconds: Time to embed everything here; None where it was not measured.
        notes: What the figures rest on.
    """

    items: dict[str, int]
    media_bytes: int | None
    seconds: dict[str, float]
    collection_bytes: int
    spaces: list[SpaceCost]
    embed_seconds: float | None
    notes: list[str]

    def as_json(self) -> dict[str, object]:
        """The object that `estimate --format json` prints."""
        return asdict(self)


def estimate_collection(root: Path) -> Estimate:
    """Count what a collection holds, and size the indexes that it could have.

    Raises:
        CollectionNotFoundError: The folder is none.
    """
    snapshot = Snapshot.open(root)
    items: Counter[str] = Counter()
    for batch in snapshot.iter_items():
        items.update(batch.column("modality").to_pylist())
    spaces = []
    for space in snapshot.spaces:
        segments = snapshot.manifest.listed(f"segments/{space.name}")
        frames = snapshot.manifest.listed(f"frames/{space.name}")
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
        notes=["counted in the collection; its index, if it has one, is left out"],
    )


def estimate_sources(
    sources: Sequence[str],
    options: EmbedOptions,
    *,
    timed: bool = True,
    progress: Callable[[str], None] = lambda what: None,
) -> Estimate:
    """Survey some sources and say what embedding them will take.

    Args:
        sources: As `embed` takes them.
        options: As `embed` takes them.
        timed: Load the models and time them on a few of the files.
        progress: Told in a line what begins.

    Raises:
        SourceError: A source does not exist or cannot be read as a list.
        ModelError: A model is unknown or not here.
    """
    progress("looking at the files")
    listed = find_sources(
        sources,
        path_column=options.path_column,
        caption_column=options.caption_column,
        listing=Listing(options.exclude, lambda failure: None),  # `embed` says what is wrong
    )
    found = survey(listed, lambda files: progress(f"looking at the files: {files}"))
    notes = list(_notes(found))
    seconds = None
    if timed:
        progress("loading the models")
        spaces = open_spaces(None, options)
        shapes = shapes_of_spaces(spaces)
        seconds, left_out = _time(found, spaces, options.workers, progress)
        notes += left_out
    else:
        shapes = shapes_of_models(options.models or (DEFAULT_MODEL,))
    costs = [_cost(shape, found, options.sampling) for shape in shapes]
    items = {medium.value: round(total.items) for medium, total in found.totals.items()}
    return Estimate(
        items=items,
        media_bytes=sum(total.bytes for total in found.totals.values()),
        seconds={
            medium.value: total.seconds
            for medium, total in found.totals.items()
            if medium is not Medium.IMAGE
        },
        collection_bytes=sum(items.values()) * ITEM_BYTES + sum(cost.bytes for cost in costs),
        spaces=costs,
        embed_seconds=seconds,
        notes=notes,
    )


def _notes(found: Survey) -> Iterator[str]:
    if found.probed:
        yield f"lengths from {found.probed} recordings and videos, the others by their bytes"
    if found.unreadable:
        yield f"{found.unreadable} of those cannot be opened; as many of the others are left out"


def _cost(shape: Shape, found: Survey, sampling: Sampling) -> SpaceCost:
    """Rows of one space: a picture has one, sound one for each window, video one for each clip."""
    image, audio, video = (found.totals[m] for m in (Medium.IMAGE, Medium.AUDIO, Medium.VIDEO))
    segments = frames = 0.0
    if Medium.IMAGE in shape.media:
        segments += image.items
    if Medium.AUDIO in shape.media:
        # Half a window more for each: the last one is not full.
        sound = audio.seconds + video.with_sound_seconds
        segments += sound / shape.hop_seconds + audio.items / 2
    if Medium.VIDEO in shape.media:
        segments += video.seconds / sampling.clip_seconds + video.items / 2
        frames = video.seconds * sampling.frames_per_second if shape.keeps_frames else 0.0
    rows, seen = round(segments), round(frames)
    return SpaceCost(
        shape.spec,
        shape.dim,
        rows,
        seen,
        (rows + seen) * (2 * shape.dim + ROW_BYTES),
        _with_row_tables(index_sizes(rows, shape.dim), rows),
    )


def _with_row_tables(sizes: list[IndexSize], rows: int) -> list[IndexSize]:
    """An index's folder also says what its rows are; equal vectors are counted one by one."""
    return [replace(size, disk_bytes=size.disk_bytes + INDEX_ROW_BYTES * rows) for size in sizes]


def _time(
    found: Survey, spaces: Spaces, workers: int, progress: Callable[[str], None]
) -> tuple[float, list[str]]:
    """Seconds to embed everything, and what they leave out."""
    seconds = 0.0
    notes = ["time from a few of the files, decoded and encoded here"]
    for medium, total in found.totals.items():
        able = {
            name: pair
            for name, pair in spaces.items()
            if medium in pair[0].media or (medium is Medium.VIDEO and Medium.AUDIO in pair[0].media)
        }
        if not total.items or not able:
            continue
        progress(f"timing {medium}")
        rate = measure(medium, found.samples.get(medium, []), able)
        if rate is None:
            notes.append(f"without the time of {medium}: no sampled file could be decoded")
            continue
        units = total.items if medium is Medium.IMAGE else total.seconds
        seconds += units * _seconds_each(rate, workers)
    return seconds, notes


def _seconds_each(rate: Rate, workers: int) -> float:
    """Decoding is shared by the workers; encoding waits for no one but takes the cores as well."""
    return rate.decode_seconds / max(1, min(workers, os.cpu_count() or 1)) + rate.encode_seconds
