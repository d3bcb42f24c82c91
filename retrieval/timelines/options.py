"""The options of an export and its report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from retrieval.errors import MediaError
from retrieval.progress import Progress, no_progress
from retrieval.timelines.moments import Moment
from retrieval.timelines.worker import MediaWorker


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How hits are exported.

    Attributes:
        pad_seconds: Seconds to add before and after each moment.
        copy: Copy streams instead of encoding them, and images instead of linking to them.
        force: Replace existing files.
        in_process: Decode in this process instead of a worker process.
    """

    pad_seconds: float = 0.0
    copy: bool = False
    force: bool = False
    in_process: bool = False


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file that an export has written.

    Attributes:
        moment: The only moment that it shows; None for a file of several.
        start_seconds: Where a clip starts in its source; None for other files.
        end_seconds: Where a clip ends in its source; None for other files.
        notes: What differs from the request.
    """

    path: Path
    moment: Moment | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportFailure:
    """A hit that could not be exported."""

    query: str
    rank: int
    uri: str
    reason: str


@dataclass(frozen=True, slots=True)
class ExportReport:
    """The result of an export."""

    files: tuple[ExportedFile, ...]
    failures: tuple[ExportFailure, ...] = ()


@dataclass(slots=True)
class ExportJob:
    """An export at work.

    Attributes:
        moments: What to export, in order.
        out: The file or folder to write.
        worker: Calls functions that read media.
        failures: Hits that failed so far.
        done: Moments that are finished.
    """

    moments: Sequence[Moment]
    out: Path
    options: ExportOptions
    worker: MediaWorker
    progress: Progress = no_progress
    failures: list[ExportFailure] = field(default_factory=list)
    done: int = 0

    def each(self) -> Iterator[Moment]:
        """Yield the moments with progress."""
        for done, moment in enumerate(self.moments):
            self.done = done
            self.note(moment.file_name)
            yield moment
        self.done = len(self.moments)
        self.note("")

    def note(self, text: str) -> None:
        """Report progress within a moment."""
        self.progress("exporting", self.done, len(self.moments), text)

    @contextmanager
    def failures_of(self, moment: Moment) -> Iterator[None]:
        """Record an error of the moment's file, so that the others are exported."""
        try:
            yield
        except MediaError as error:
            reason = " ".join(str(error).split())
            failure = ExportFailure(moment.query, moment.hit.rank, moment.hit.uri, reason)
            self.failures.append(failure)

    @property
    def title(self) -> str:
        """The queries, for titles."""
        queries = list(dict.fromkeys(m.query for m in self.moments if m.query))
        shown = ", ".join(queries[:3])
        return f"{shown}, …" if len(queries) > 3 else shown
