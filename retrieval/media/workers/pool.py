"""Decode in worker processes, in parallel with the encoder, with events in the sources' order.

A thread for each worker gives it jobs and buffers its events. The buffers of all threads hold a
limited number of bytes. When they are full, a thread stops reading, its pipe fills and its worker
waits. The job whose events are being consumed is exempt from the limit, which prevents deadlocks. A
worker that crashes or hangs is replaced, and its file is tried twice.
"""

from __future__ import annotations

import logging
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from queue import SimpleQueue

from retrieval.files.reading import status_of
from retrieval.media.decode import decode
from retrieval.media.files import EXTENSIONS
from retrieval.media.names import extension
from retrieval.media.workers.process import WorkerLostError, WorkerProcess
from retrieval.media.workers.worker import ItemStarts, Request, event_bytes
from retrieval.types import DecodeEvent, DecodePlan, Failure, KnownFile, Medium, Source

logger = logging.getLogger(__name__)

MAX_BUFFER_BYTES = 16 << 20
"""Decoded samples that wait for the encoder, in all buffers."""

MAX_JOBS = 64
JOB_SOURCES = 32
JOB_BYTES = 1 << 20
"""Images are grouped into jobs of up to this many files or bytes; other files are jobs alone."""


def decode_all(
    sources: Iterable[Source],
    plan: DecodePlan,
    known: Mapping[str, KnownFile],
    *,
    workers: int,
    timeout_seconds: float = 300.0,
    spare: list[WorkerProcess] | None = None,
) -> Iterator[DecodeEvent]:
    """Decode many sources; yields the events of `decode`, one source after the other.

    Sources are read as needed, in the caller's thread. Closing the generator ends the workers, and
    so does any end of this process.

    Args:
        sources: Files and archives, in the wanted order.
        plan: The inputs that the encoders need.
        known: Files of the collection, by URI; a worker receives only those of its sources.
        workers: Number of processes, usually the number of cores; 0 decodes in this process.
        timeout_seconds: A worker without a message for longer counts as hanging.
        spare: Idle workers to use first. It receives the workers that are idle at the end; without
            it they end. The caller ends those that remain.

    Raises:
        RuntimeError: Workers cannot be started.
    """
    if workers == 0:
        for source in sources:
            yield from decode(source, plan, known)
        return
    with _WorkerPool(plan, workers, timeout_seconds, spare) as pool:
        # Reading words takes longer than a message, so that small jobs share the work better.
        max_sources = 1 if plan.words else JOB_SOURCES
        yield from pool.run(_make_jobs(sources, KnownFiles(known), max_sources))


# ---------------------------------------------------------------- jobs


@dataclass(slots=True, eq=False)
class _Job:
    """Sources for one worker, and the events that it has sent."""

    sources: tuple[Source, ...]
    known: dict[str, KnownFile]
    events: deque[DecodeEvent] = field(default_factory=deque)
    is_done: bool = False


class KnownFiles:
    """Selects the known files of one source."""

    def __init__(self, files: Mapping[str, KnownFile]) -> None:
        self._files = files
        self._members: list[str] | None = None

    def of(self, source: Source) -> dict[str, KnownFile]:
        """Return the known file of a source, or the known members of an archive."""
        if not source.is_tar:
            file = self._files.get(source.uri)
            return {} if file is None else {source.uri: file}
        if self._members is None:
            self._members = sorted(uri for uri in self._files if "!" in uri)
        first = bisect_left(self._members, f"{source.uri}!")
        last = bisect_left(self._members, f'{source.uri}"')  # the character after "!"
        return {uri: self._files[uri] for uri in self._members[first:last]}


def _make_jobs(
    sources: Iterable[Source], known: KnownFiles, max_sources: int = JOB_SOURCES
) -> Iterator[_Job]:
    """Group consecutive images into jobs, so that many small ones share a message."""
    group: list[Source] = []
    files: dict[str, KnownFile] = {}
    size = 0
    for source in sources:
        image_bytes = _image_bytes(source)
        if group and (image_bytes is None or size >= JOB_BYTES or len(group) == max_sources):
            yield _Job(tuple(group), files)
            group, files, size = [], {}, 0
        if image_bytes is None:
            yield _Job((source,), known.of(source))
        else:
            group.append(source)
            files.update(known.of(source))
            size += image_bytes
    if group:
        yield _Job(tuple(group), files)


def _image_bytes(source: Source) -> int | None:
    """Return the size of a file that may be an image by its name; None for others."""
    if Medium.IMAGE not in EXTENSIONS.get(extension(source.path), ()):
        return None
    try:
        return status_of(source.path).st_size
    except OSError:
        return 0  # the worker reports the failure


# ---------------------------------------------------------------- the pool


class _ClosedError(Exception):
    """The pool is being closed; ends a thread."""


class _WorkerPool:
    """Workers, their threads, and the buffered events."""

    def __init__(
        self,
        plan: DecodePlan,
        workers: int,
        timeout_seconds: float,
        spare: list[WorkerProcess] | None = None,
    ) -> None:
        self._spare = spare
        self._plan = plan
        self._timeout_seconds = timeout_seconds
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._changed = threading.Condition()  # guards all fields below
        self._buffered_bytes = 0
        self._current: _Job | None = None
        self._closed = False
        self._error: str | None = None
        self._workers: set[WorkerProcess] = set()
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(workers)]

    def __enter__(self) -> _WorkerPool:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._spare is None or error[0] is not None:
            with self._changed:
                self._closed = True
                self._changed.notify_all()
                for worker in self._workers:
                    worker.kill()  # its thread then reads the end of the pipe
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        for worker in list(self._workers):  # of threads that ended in the middle of a job
            self._end(worker)

    def run(self, jobs: Iterator[_Job]) -> Iterator[DecodeEvent]:
        """Queue jobs ahead of the one being consumed, and yield their events in order."""
        queued: deque[_Job] = deque()
        while True:
            while len(queued) < MAX_JOBS and (job := next(jobs, None)) is not None:
                queued.append(job)
                self._queue.put(job)
            if not queued:
                return
            yield from self._consume(queued.popleft())

    def _consume(self, job: _Job) -> Iterator[DecodeEvent]:
        with self._changed:
            self._current = job
            self._changed.notify_all()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: job.events or job.is_done or self._error)
                if self._error:
                    raise RuntimeError(self._error)
                if not job.events:
                    return
                event = job.events.popleft()
                self._buffered_bytes -= event_bytes(event)
                self._changed.notify_all()
            yield event

    def _buffer(self, job: _Job, events: Iterable[DecodeEvent]) -> None:
        """Buffer a job's events, waiting while the buffers are full."""
        for event in events:
            with self._changed:
                self._changed.wait_for(
                    lambda: (
                        self._closed
                        or self._buffered_bytes < MAX_BUFFER_BYTES
                        or (job is self._current and not job.events)
                    )
                )
                if self._closed:
                    raise _ClosedError
                job.events.append(event)
                self._buffered_bytes += event_bytes(event)
                self._changed.notify_all()

    # ------------------------------------------------------------ threads

    def _serve(self) -> None:
        """Process jobs with one worker at a time."""
        worker: WorkerProcess | None = None
        error: str | None = "a decoding thread ended; its error is above"
        try:
            while (job := self._queue.get()) is not None:
                worker = self._process(job, worker)
                with self._changed:
                    job.is_done = True
                    self._changed.notify_all()
            error = None
        except _ClosedError:
            error = None
        except (OSError, WorkerLostError) as lost:  # a worker did not start
            error = f"decoding workers cannot start: {lost}; decode without workers"
        finally:
            if worker is not None:
                self._release(worker, is_idle=error is None)
            with self._changed:
                self._error = self._error or error
                self._changed.notify_all()

    def _process(self, job: _Job, worker: WorkerProcess | None) -> WorkerProcess:
        """Complete one job, replacing lost workers, and return the last worker."""
        delivered = 0  # events of the job, in order
        skip: set[str] = set()
        suspect: ItemStarts | None = None
        careful = False
        while True:
            worker = worker or self._start()
            request = Request(
                job.sources, self._plan, job.known, delivered, frozenset(skip), careful
            )
            try:
                for message in worker.send(request, self._timeout_seconds):
                    if isinstance(message, ItemStarts):
                        suspect = message
                    elif isinstance(message, list):
                        self._buffer(job, message)
                        delivered += len(message)
                return worker
            except WorkerLostError as lost:
                self._end(worker)
                worker = None
                if careful and suspect is not None:
                    logger.warning("%s: %s, twice; left out", suspect.uri, lost)
                    reason = f"its decoder {lost}, twice; check or convert the file"
                    self._buffer(job, [Failure(suspect.uri, "worker", reason)])
                    skip.add(suspect.uri)
                    delivered = suspect.first_event
                    suspect = None
                careful = True

    def _start(self) -> WorkerProcess:
        with self._changed:
            idle = self._spare.pop() if self._spare else None
        worker = idle or WorkerProcess()
        with self._changed:
            self._workers.add(worker)
            closed = self._closed
        if closed:
            self._end(worker)
            raise _ClosedError
        if idle is not None:
            return worker
        try:
            worker.wait_until_ready()
        except WorkerLostError:
            self._end(worker)
            raise
        return worker

    def _release(self, worker: WorkerProcess, *, is_idle: bool) -> None:
        """Keep an idle worker for later, or end it."""
        with self._changed:
            if self._spare is not None and is_idle and not self._closed:
                self._workers.discard(worker)
                self._spare.append(worker)
                return
        self._end(worker)

    def _end(self, worker: WorkerProcess) -> None:
        worker.close()
        with self._changed:
            self._workers.discard(worker)
