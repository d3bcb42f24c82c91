"""Runs tasks on single files in decoding processes, for callers that wait for each result."""

from __future__ import annotations

import threading
from queue import LifoQueue

from retrieval import errors
from retrieval.errors import DamagedMediaError, MediaError
from retrieval.media.workers.process import WorkerLostError, WorkerProcess
from retrieval.media.workers.worker import FileTask, Task, TaskError, TaskResult


class TaskPool:
    """Decoding processes that run one task each at a time; a lost one is replaced.

    Args:
        processes: Number of processes. They start at their first use.
        timeout_seconds: A task that takes longer is ended with its process.
    """

    def __init__(self, processes: int, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._idle: LifoQueue[WorkerProcess | None] = LifoQueue()
        for _ in range(processes):
            self._idle.put(None)
        self._lock = threading.Lock()
        self._started: set[WorkerProcess] = set()
        self._closed = False

    def run(self, task: Task, descriptor: int, offset: int, size: int) -> object:
        """Run a task on a span of an open file; waits for a free process.

        Raises:
            MediaError: The file cannot be used, or its decoder crashes or hangs.
        """
        worker = self._idle.get()
        try:
            worker = worker or self._start()
            request = FileTask(task, offset, size)
            message = worker.run(request, descriptor, self._timeout_seconds)
        except WorkerLostError as lost:
            if worker is not None:
                self._end(worker)
                worker = None
            raise lost.damage() from lost
        finally:
            self._idle.put(worker)
        if isinstance(message, TaskError):
            raise _error(message)
        assert isinstance(message, TaskResult)
        return message.value

    def start_all(self) -> None:
        """Start all processes, so that the first tasks do not wait for them."""
        workers = [self._idle.get() for _ in range(self._idle.qsize())]
        for worker in workers:
            try:
                self._idle.put(worker or self._start())
            except WorkerLostError:
                self._idle.put(None)  # the next task reports it

    def close(self) -> None:
        """End all processes; running tasks fail."""
        with self._lock:
            self._closed = True
            started = list(self._started)
        for worker in started:
            self._end(worker)

    def _start(self) -> WorkerProcess:
        with self._lock:
            if self._closed:
                raise WorkerLostError("is not started, because the pool is closed")
            worker = WorkerProcess()
            self._started.add(worker)
        try:
            worker.wait_until_ready()
        except WorkerLostError:
            self._end(worker)
            raise
        return worker

    def _end(self, worker: WorkerProcess) -> None:
        with self._lock:
            known = worker in self._started
            self._started.discard(worker)
        if known:
            worker.close()


def _error(message: TaskError) -> MediaError:
    """Return the error of a task; what is no `MediaError` is damage."""
    kind = getattr(errors, message.kind, None)
    if isinstance(kind, type) and issubclass(kind, MediaError):
        return kind(message.reason)
    return DamagedMediaError(message.reason)
