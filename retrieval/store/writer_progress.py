"""The progress of a running writer, in a small file that other processes read."""

from __future__ import annotations

import json
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path

from retrieval.errors import StorageError
from retrieval.files.documents import parse_json
from retrieval.files.reading import read_text
from retrieval.files.writing import PartialFile
from retrieval.progress import Progress
from retrieval.store.lock import HOLDER_NAME, live_writer

PROGRESS_NAME = ".progress"

WRITE_SECONDS = 1.0
"""Shortest time between two writes of the file."""

RATE_WRITES = 60
"""Number of writes over which the rate is measured."""


@dataclass(frozen=True, slots=True)
class WriterProgress:
    """What a writer does; the content of `.progress`. Times are seconds since 1970.

    Attributes:
        process: The writer's process, as in `.lock.holder`.
        host: Its host.
        task: The current task, such as `embedding`.
        done: Files or items of the task that are finished.
        total: Files or items of the task in all; None while it is unknown.
        items: Items of the run that are in the collection or are published with the next shard.
        failed: Files that could not be used.
        started_at: Start of the run.
        updated_at: Time of this content.
        ends_at: Estimated end of the task; None while it is unknown.
    """

    process: int
    host: str
    task: str
    done: float
    total: float | None
    items: int
    failed: int
    started_at: float
    updated_at: float
    ends_at: float | None

    def __post_init__(self) -> None:
        for value in (self.done, self.total, self.started_at, self.updated_at, self.ends_at):
            if value is not None and not (isfinite(value) and value >= 0):
                raise ValueError(f"a number of {PROGRESS_NAME} is {value}, expected 0 or more")

    def text(self, now: float) -> str:
        """Format the progress in one line: `embedding, 120 of 300, 2 failed, 5 min left`."""
        of_total = "" if self.total is None else f" of {self.total:,.0f}"
        parts = [self.task, f"{self.done:,.0f}{of_total}"]
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        if self.ends_at is not None:
            left = max(0.0, self.ends_at - now)
            parts.append(f"{left:.0f} s left" if left < 100 else f"{left / 60:.0f} min left")
        return ", ".join(parts)


def read_progress(root: Path) -> WriterProgress | None:
    """Return the progress of the process that writes to a collection.

    None if nothing is writing, if the writer publishes no progress, or if the file belongs to a
    process that has ended.
    """
    writer = live_writer(root)
    if writer is None:
        return None
    path = root / PROGRESS_NAME
    try:
        progress = parse_json(WriterProgress, read_text(path))
        is_older = path.stat().st_mtime < (root / HOLDER_NAME).stat().st_mtime
    except (OSError, ValueError):
        return None
    is_writers = (progress.process, progress.host) == (writer.process, writer.host)
    return progress if is_writers and not is_older else None


class PublishedProgress:
    """A `Progress` that passes updates on, and publishes them until the end of the block.

    Errors of the disk are ignored: progress is not worth a run. The caller holds the lock.

    Args:
        root: The collection's folder.
        progress: Receives every update.
        counts: Returns the items and the failures so far.
        total: Number of files for updates without a total, if it is known.
    """

    def __init__(
        self,
        root: Path,
        progress: Progress,
        counts: Callable[[], tuple[int, int]],
        total: int | None = None,
    ) -> None:
        self._path = root / PROGRESS_NAME
        self._progress = progress
        self._counts = counts
        self._total = total
        self._host = socket.gethostname()
        self._started_at = time.time()
        self._due_at = 0.0
        self._task: str | None = None
        self._written: deque[tuple[float, float]] = deque(maxlen=RATE_WRITES)

    def __enter__(self) -> PublishedProgress:
        self._delete()
        return self

    def __exit__(self, *error: object) -> None:
        self._delete()

    def __call__(self, task: str, done: float, total: float | None, note: str = "") -> None:
        """Receive one update."""
        if total is None:
            total = self._total
        self._progress(task, done, total, note)
        now = time.monotonic()
        if now >= self._due_at:
            self._due_at = now + WRITE_SECONDS
            self._write(task, done, total, now)

    def _write(self, task: str, done: float, total: float | None, now: float) -> None:
        if task != self._task:
            self._task = task
            self._written.clear()
        self._written.append((now, done))
        if total is not None and done > total:
            total = None  # a tar counts as one file and has many items
        items, failed = self._counts()
        content = WriterProgress(
            os.getpid(), self._host, task, done, total, items, failed,
            self._started_at, time.time(), self._ends_at(done, total),
        )  # fmt: skip
        # Not synced, because the content is worthless after a loss of power.
        partial = self._path.with_name(f"{PROGRESS_NAME}.tmp")
        with suppress(OSError, StorageError):
            file = PartialFile(partial)
            try:
                file.write(json.dumps(asdict(content)).encode())
            finally:
                file.close()
            os.replace(partial, self._path)

    def _ends_at(self, done: float, total: float | None) -> float | None:
        (first_time, first_done), (last_time, last_done) = self._written[0], self._written[-1]
        if total is None or last_done <= first_done:
            return None
        rate = (last_done - first_done) / (last_time - first_time)
        return time.time() + (total - done) / rate

    def _delete(self) -> None:
        for name in (PROGRESS_NAME, f"{PROGRESS_NAME}.tmp"):
            with suppress(OSError):
                os.unlink(self._path.with_name(name))
