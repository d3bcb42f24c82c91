"""Divides the sources of a run into parts of similar work, by files, bytes and seconds."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrieval.columns.types import ColumnType
from retrieval.errors import MediaError, SourceError
from retrieval.files.objects import is_object
from retrieval.files.reading import open_regular, status_of
from retrieval.media.files import EXTENSIONS
from retrieval.media.names import extension
from retrieval.media.sources.listing import Listing
from retrieval.types import KnownFile, Medium, Source, Space

if TYPE_CHECKING:  # Importing the decoders takes a tenth of a second.
    from retrieval.media.workers.tasks import TaskPool

ListSources = Callable[[Listing], Iterator[Source]]
"""Lists the sources of a run; may be called several times."""

PICTURES_PER_SECOND = {Medium.VIDEO: 3.0, Medium.AUDIO: 0.2, Medium.IMAGE: 0.0}
"""Work of a second of a file, in that of a picture: frames are decoded and embedded."""

BYTES_PER_PICTURE = 2_000_000
"""Bytes whose reading and decoding is one more picture of work."""

HEADER_SECONDS = 20.0
"""Time for reading a header."""

ARCHIVED_BYTES = 150_000
"""Assumed size of the pictures in an archive, whose members are not counted before."""


@dataclass(frozen=True, slots=True)
class UnitNumber:
    """One of several parts of a list of sources, such as 3 of 64.

    Attributes:
        number: From 1 to `count`.
        count: Number of parts.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise SourceError(
                f"unit {self.number}/{self.count}: expected a number from 1 to the number of "
                "units, such as 3/64"
            )

    @classmethod
    def parse(cls, text: str) -> UnitNumber:
        """Parse a text such as `3/64`.

        Raises:
            SourceError: The text has another form, or the number is out of range.
        """
        number, _, count = text.partition("/")
        if not (number.isascii() and number.isdigit() and count.isascii() and count.isdigit()):
            raise SourceError(f"unit {text!r}: expected a number and a count, such as 3/64")
        return cls(int(number), int(count))


@dataclass(frozen=True, slots=True)
class Unit:
    """Sources that one process embeds into a collection of its own.

    Attributes:
        sources: New and changed files, and files whose texts are read again.
        known: Their state in the collection that receives the result, by uri.
        bases: Folders below which the names of folders describe an item; see `Listing`.
        spaces: The spaces of that collection.
        columns: Its user columns.
    """

    sources: tuple[Source, ...]
    known: dict[str, KnownFile] = field(default_factory=dict)
    bases: tuple[str, ...] = ()
    spaces: tuple[Space, ...] = ()
    columns: dict[str, ColumnType] = field(default_factory=dict)


# ---------------------------------------------------------------- work


@contextmanager
def header_readers() -> Iterator[TaskPool]:
    """Yield a process that reads the headers of media files; a file that crashes it is damaged."""
    from retrieval.media.workers.tasks import TaskPool

    pool = TaskPool(1, HEADER_SECONDS)
    try:
        yield pool
    finally:
        pool.close()


def source_work(source: Source, readers: TaskPool) -> float:
    """Estimate the work of embedding a source, in pictures.

    Recordings and videos count by the duration that their header declares, or by their bytes if it
    cannot be read. The result depends on the file alone, so that it is the same on every machine.

    Args:
        source: A file or an archive.
        readers: Result of `header_readers`.
    """
    try:
        size = status_of(source.path).st_size
    except OSError:
        return 1.0  # a failure
    if source.is_tar:
        return 1.0 + size / ARCHIVED_BYTES
    work = 1.0 + size / BYTES_PER_PICTURE
    if EXTENSIONS.get(extension(source.path)) == (Medium.IMAGE,) or is_object(source.path):
        return work
    from retrieval.media.lengths import Length, LengthTask

    try:
        with open_regular(source.path) as file:
            length = readers.run(LengthTask(source.path, size), file.fileno(), 0, size)
    except (OSError, MediaError):
        return work  # `embed` reports the error
    if not isinstance(length, Length):
        return work
    return work + PICTURES_PER_SECOND[length.modality] * length.seconds


def divide(work: Sequence[float] | NDArray[np.float64], count: int) -> list[slice]:
    """Divide consecutive sources into parts of similar work.

    Args:
        work: (n,) work of each source, more than 0.
        count: Number of parts.

    Returns:
        `count` slices of the sources, in order; some are empty if there are few sources.
    """
    ends = np.cumsum(np.asarray(work, np.float64))
    if not len(ends):
        return [slice(0, 0)] * count
    # A source belongs to the part that contains the middle of its work.
    middles = ends - np.asarray(work, np.float64) / 2
    limits = ends[-1] * np.arange(1, count) / count
    cuts = [0, *np.searchsorted(middles, limits).tolist(), len(ends)]
    return [slice(start, end) for start, end in pairwise(cuts)]


def groups_of_similar_work(
    sources: Iterable[Source], *, workers: int, limits: GroupLimits | None = None
) -> Iterator[tuple[Source, ...]]:
    """Group sources so that several workers end at about the same time.

    Args:
        sources: The sources, which are read as needed.
        workers: Number of workers.
        limits: Sizes of the groups.
    """
    limits = limits or GroupLimits()
    window: list[Source] = []
    work: list[float] = []
    with header_readers() as readers:
        for source in sources:
            window.append(source)
            work.append(source_work(source, readers))
            if len(window) == limits.window:
                yield from _groups(window, work, workers, limits)
                window, work = [], []
        yield from _groups(window, work, workers, limits)


@dataclass(frozen=True, slots=True)
class GroupLimits:
    """Sizes of groups, in pictures of work.

    Attributes:
        min_work: Smaller groups take longer to start than to embed.
        max_work: Larger groups delay the first results.
        per_worker: Number of groups for each worker, unless they would be too small.
        window: Number of sources that are divided together.
    """

    min_work: float = 1024.0
    max_work: float = 16_384.0
    per_worker: int = 3
    window: int = 65_536


def _groups(
    window: list[Source], work: list[float], workers: int, limits: GroupLimits
) -> Iterator[tuple[Source, ...]]:
    total = sum(work)
    least = math.ceil(total / limits.max_work)
    even = min(workers * limits.per_worker, int(total / limits.min_work))
    for part in divide(work, max(1, least, even)):
        if window[part]:
            yield tuple(window[part])


def listed_unit(list_sources: ListSources, unit: UnitNumber) -> ListSources:
    """Return a function that lists only one part of the sources.

    All processes that list the same files divide them in the same way.
    """
    part: slice | None = None

    def list_part(listing: Listing) -> Iterator[Source]:
        nonlocal part
        if part is None:
            first = Listing(listing.exclude, lambda failure: None)
            with header_readers() as readers:
                work = array("d", (source_work(each, readers) for each in list_sources(first)))
            part = divide(work, unit.count)[unit.number - 1]
        for position, source in enumerate(list_sources(listing)):
            if part.start <= position < part.stop:
                yield source

    return list_part
