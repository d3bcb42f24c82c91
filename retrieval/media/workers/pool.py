"""Decoding in worker processes, beside the encoder: events in the sources' order, memory flat.

Each worker has a thread here (a lane) that gives it jobs and buffers its events. The buffers hold
a bounded number of bytes in all; a full buffer stops its lane, the pipe behind it fills, and the
worker waits. Only the job whose events are being consumed may always go on, so nothing can lock.
A worker that crashes or hangs is replaced; the file that did it is tried twice.
"""

from __future__ import annotations

import logging
import os
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from queue import SimpleQueue
from types import TracebackType

from retrieval.media.decode import decode
from retrieval.media.files import EXTENSIONS
from retrieval.media.names import extension
from retrieval.media.workers.process import WorkerLostError, WorkerProcess
from retrieval.media.workers.worker import ItemBegins, Request, event_bytes
from retrieval.types import DecodeEvent, DecodePlan, Failure, KnownFile, Medium, Source

logger = logging.getLogger(__name__)

BUFFER_BYTES = 16 << 20
"""Decoded samples that wait for the encoder, in all."""

MAX_JOBS = 64
JOB_SOURCES = 32
JOB_BYTES = 1 << 20
"""Pictures are handed out in jobs of so many files or bytes; any other file is its own job."""

START_SECONDS = 60.0


def decode_all(
    sources: Iterable[Source],
    plan: DecodePlan,
    known: Mapping[str, KnownFile],
    *,
    workers: int,
    timeout_seconds: float = 300.0,
) -> Iterator[DecodeEvent]:
    """Decode many sources; the events are those of `decode`, one source after the other.

    Sources are taken as they are needed, in the caller's thread. Closing the generator ends the
    workers; so does the end of this process, however it comes.

    Args:
        sources: Files and tars, in the order wanted.
        plan: What the encoders want.
        known: Files that the collection holds, by uri; workers get only what concerns them.
        workers: Processes; as many as cores is right, 0 decodes in this process.
        timeout_seconds: A worker silent for longer is taken to hang.

    Raises:
        RuntimeError: Workers cannot be started.
    """
    if workers == 0:
        for source in sources:
            yield from decode(source, plan, known)
        return
    with _Pool(plan, workers, timeout_seconds) as pool:
        yield from pool.run(_jobs(sources, _Known(known)))


# ---------------------------------------------------------------- jobs


@dataclass(slots=True, eq=False)
class _Job:
    """Some sources for one worker, and the events that it has sent."""

    sources: tuple[Source, ...]
    known: dict[str, KnownFile]
    events: deque[DecodeEvent] = field(default_factory=deque)
    done: bool = False


class _Known:
    """Finds what concerns one source among all known files."""

    def __init__(self, files: Mapping[str, KnownFile]) -> None:
        self._files = files
        self._members: list[str] | None = None

    def of(self, source: Source) -> dict[str, KnownFile]:
        if not source.is_tar:
            file = self._files.get(source.uri)
            return {} if file is None else {source.uri: file}
        if self._members is None:
            self._members = sorted(uri for uri in self._files if "!" in uri)
        first = bisect_left(self._members, f"{source.uri}!")
        last = bisect_left(self._members, f'{source.uri}"')  # the character after "!"
        return {uri: self._files[uri] for uri in self._members[first:last]}


def _jobs(sources: Iterable[Source], known: _Known) -> Iterator[_Job]:
    """Group neighbouring pictures into jobs, so that a message is shared by many small ones."""
    group: list[Source] = []
    files: dict[str, KnownFile] = {}
    size = 0
    for source in sources:
        picture_bytes = _picture_bytes(source)
        if group and (picture_bytes is None or size >= JOB_BYTES or len(group) == JOB_SOURCES):
            yield _Job(tuple(group), files)
            group, files, size = [], {}, 0
        if picture_bytes is None:
            yield _Job((source,), known.of(source))
        else:
            group.append(source)
            files.update(known.of(source))
            size += picture_bytes
    if group:
        yield _Job(tuple(group), files)


def _picture_bytes(source: Source) -> int | None:
    """Size of a file that may be a picture by its name; None for others."""
    if Medium.IMAGE not in EXTENSIONS.get(extension(source.path), ()):
        return None
    try:
        return os.stat(source.path).st_size
    except OSError:
        return 0  # its failure is found and reported by the worker


# ---------------------------------------------------------------- the pool


class _ClosedError(Exception):
    """The pool is being closed; ends a lane."""


class _Pool:
    """Workers, their lanes, and the events that wait."""

    def __init__(self, plan: DecodePlan, workers: int, timeout_seconds: float) -> None:
        self._plan = plan
        self._timeout_seconds = timeout_seconds
        self._todo: SimpleQueue[_Job | None] = SimpleQueue()
        self._changed = threading.Condition()  # guards everything below
        self._held_bytes = 0
        self._current: _Job | None = None
        self._closed = False
        self._error: str | None = None
        self._workers: set[WorkerProcess] = set()
        self._lanes = [threading.Thread(target=self._lane, daemon=True) for _ in range(workers)]

    def __enter__(self) -> _Pool:
        for lane in self._lanes:
            lane.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            for worker in self._workers:
                worker.kill()  # its lane sees the end of the pipe
        for _ in self._lanes:
            self._todo.put(None)
        for lane in self._lanes:
            lane.join()

    def run(self, jobs: Iterator[_Job]) -> Iterator[DecodeEvent]:
        """Hand out jobs ahead of the one that is consumed, and yield their events in order."""
        waiting: deque[_Job] = deque()
        while True:
            while len(waiting) < MAX_JOBS and (job := next(jobs, None)) is not None:
                waiting.append(job)
                self._todo.put(job)
            if not waiting:
                return
            yield from self._consume(waiting.popleft())

    def _consume(self, job: _Job) -> Iterator[DecodeEvent]:
        with self._changed:
            self._current = job
            self._changed.notify_all()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: job.events or job.done or self._error)
                if self._error:
                    raise RuntimeError(self._error)
                if not job.events:
                    return
                event = job.events.popleft()
                self._held_bytes -= event_bytes(event)
                self._changed.notify_all()
            yield event

    def _put(self, job: _Job, events: Iterable[DecodeEvent]) -> None:
        """Buffer a job's events, waiting while too much is held."""
        for event in events:
            with self._changed:
                self._changed.wait_for(
                    lambda: (
                        self._closed
                        or self._held_bytes < BUFFER_BYTES
                        or (job is self._current and not job.events)
                    )
                )
                if self._closed:
                    raise _ClosedError
                job.events.append(event)
                self._held_bytes += event_bytes(event)
                self._changed.notify_all()

    # ------------------------------------------------------------ lanes

    def _lane(self) -> None:
        """Work through jobs with one worker process at a time."""
        worker: WorkerProcess | None = None
        error: str | None = "a decoding thread ended; its error is above"
        try:
            while (job := self._todo.get()) is not None:
                worker = self._work(job, worker)
                with self._changed:
                    job.done = True
                    self._changed.notify_all()
            error = None
        except _ClosedError:
            error = None
        except (OSError, WorkerLostError) as lost:  # only a start that failed gets here
            error = f"decoding workers cannot start: {lost}; --workers 0 does without"
        finally:
            if worker is not None:
                self._drop(worker)
            with self._changed:
                self._error = self._error or error
                self._changed.notify_all()

    def _work(self, job: _Job, worker: WorkerProcess | None) -> WorkerProcess:
        """Do one job whatever happens to workers; returns the one that is left."""
        delivered = 0  # events of the job's own, unbroken order
        skip: set[str] = set()
        culprit: ItemBegins | None = None
        careful = False
        while True:
            worker = worker or self._start()
            request = Request(
                job.sources, self._plan, job.known, delivered, frozenset(skip), careful
            )
            try:
                for message in worker.ask(request, self._timeout_seconds):
                    if isinstance(message, ItemBegins):
                        culprit = message
                    elif isinstance(message, list):
                        self._put(job, message)
                        delivered += len(message)
                return worker
            except WorkerLostError as lost:
                self._drop(worker)
                worker = None
                if careful and culprit is not None:
                    logger.warning("%s: %s, twice; left out", culprit.uri, lost)
                    reason = f"its decoder {lost}, twice; check or convert the file"
                    self._put(job, [Failure(culprit.uri, "worker", reason)])
                    skip.add(culprit.uri)
                    delivered = culprit.first_event
                    culprit = None
                careful = True

    def _start(self) -> WorkerProcess:
        worker = WorkerProcess()
        with self._changed:
            self._workers.add(worker)
            closed = self._closed
        if closed:
            self._drop(worker)
            raise _ClosedError
        try:
            worker.wait_until_ready(START_SECONDS)
        except WorkerLostError:
            self._drop(worker)
            raise
        return worker

    def _drop(self, worker: WorkerProcess) -> None:
        worker.kill()
        worker.close()
        with self._changed:
            self._workers.discard(worker)
