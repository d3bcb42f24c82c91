"""Counts media files by modality and estimates the duration of recordings and videos.

All files are counted by name and size. A sample of the files of each extension is opened to read
durations, which are extrapolated to the other files by size.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from indexes.errors import RetrievalError
from retrieval.media.archives.members import list_members
from retrieval.media.files import EXTENSIONS
from retrieval.media.lengths import read_length
from retrieval.media.names import extension, path_to_uri
from retrieval.progress import Progress, no_progress
from retrieval.types import Medium, Source

MAX_PROBED = 40
"""Maximum number of files of each extension that are opened."""


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A media file on disk or in a tar."""

    path: str
    member: str | None
    bytes: int


@dataclass(slots=True)
class MediumTotals:
    """Number, size and duration of the files of one modality."""

    items: float = 0.0
    bytes: int = 0
    seconds: float = 0.0
    with_sound_seconds: float = 0.0


@dataclass(slots=True)
class Survey:
    """Estimated contents of sources.

    Attributes:
        totals: Totals by modality.
        probed: Number of files that were opened.
        unreadable: Number of those that are unreadable; the totals leave out their share.
        samples: Files of each modality to measure speed with, in random order.
    """

    totals: dict[Medium, MediumTotals]
    probed: int = 0
    unreadable: int = 0
    samples: dict[Medium, list[MediaFile]] = field(default_factory=dict)


@dataclass(slots=True)
class _Extension:
    """Totals of the files of one extension, and a random sample (reservoir sampling)."""

    files: int = 0
    bytes: int = 0
    sample: list[MediaFile] = field(default_factory=list)

    def add(self, file: MediaFile, rng: random.Random) -> None:
        self.files += 1
        self.bytes += file.bytes
        if len(self.sample) < MAX_PROBED:
            self.sample.append(file)
        elif (position := rng.randrange(self.files)) < MAX_PROBED:
            self.sample[position] = file


def survey(sources: Iterable[Source], progress: Progress = no_progress) -> Survey:
    """Count the media files of sources and estimate their duration.

    Args:
        sources: Result of `find_sources`.
        progress: Receives the number of files so far.
    """
    rng = random.Random(0)
    extensions: dict[str, _Extension] = {}
    for count, file in enumerate(_media_files(sources), 1):
        name = extension(file.member or file.path)
        extensions.setdefault(name, _Extension()).add(file, rng)
        progress("counting files", count, None)
    result = Survey({medium: MediumTotals() for medium in Medium})
    for name, group in sorted(extensions.items()):
        rng.shuffle(group.sample)
        if EXTENSIONS.get(name) == (Medium.IMAGE,):
            total = result.totals[Medium.IMAGE]
            total.items += group.files
            total.bytes += group.bytes
            result.samples.setdefault(Medium.IMAGE, []).extend(group.sample)
        else:
            _add_timed(result, group)
    return result


def _media_files(sources: Iterable[Source]) -> Iterator[MediaFile]:
    for source in sources:
        try:
            if source.is_tar:
                yield from _members(source.path)
            else:
                yield MediaFile(source.path, None, os.stat(source.path).st_size)
        except (OSError, RetrievalError):
            continue  # `embed` reports the error.


def _members(path: str) -> Iterator[MediaFile]:
    for name, size in list_members(path):
        if extension(name) in EXTENSIONS or path.lower().endswith(".parquet"):
            yield MediaFile(path, name, size)


def _add_timed(result: Survey, group: _Extension) -> None:
    """Open the sampled files, and extrapolate to all bytes of the extension."""
    lengths = [(file, read_length(file.path, file.bytes, file.member)) for file in group.sample]
    readable = [(file, length) for file, length in lengths if length is not None]
    result.probed += len(lengths)
    result.unreadable += len(lengths) - len(readable)
    by_bytes = group.bytes / max(1, sum(file.bytes for file in group.sample))
    by_files = group.files / len(group.sample)
    for file, length in readable:
        total = result.totals[length.modality]
        total.items += by_files
        total.bytes += round(by_bytes * file.bytes)
        total.seconds += by_bytes * length.seconds
        total.with_sound_seconds += by_bytes * length.seconds * length.has_sound
        result.samples.setdefault(length.modality, []).append(file)


def source_of(file: MediaFile) -> Source | None:
    """Return the source of a file on disk; None for a member of a tar."""
    if file.member is not None:
        return None
    return Source(uri=path_to_uri(file.path), path=file.path)
