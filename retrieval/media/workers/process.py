"""Start a worker process, exchange messages with it, and end it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import Pipe, reduction
from typing import Any

from retrieval.errors import DamagedMediaError
from retrieval.media.workers.worker import FileTask, Ready

WORKER_CODE = (
    "import sys; from retrieval.media.workers import worker; worker.serve(int(sys.argv[1]))"
)
"""Code of a worker. `multiprocessing` would import the user's main module again."""

START_SECONDS = 60.0
"""A worker that takes longer to start counts as hanging."""


class WorkerLostError(Exception):
    """A worker crashed or hangs; the message completes "its decoder …"."""

    def damage(self) -> DamagedMediaError:
        """Return the error of the file that the worker read."""
        return DamagedMediaError(f"its decoder {self}; check or convert the file")


class WorkerProcess:
    """One worker process and the pipe to it.

    Args:
        code: Python code of the process, which serves the file descriptor `sys.argv[1]`; None
            decodes sources.
    """

    def __init__(self, code: str | None = None) -> None:
        self._pipe, worker_end = Pipe()
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", code or WORKER_CODE, str(worker_end.fileno())],
                stdin=subprocess.PIPE,  # never written; the worker reads its end and exits
                stdout=subprocess.DEVNULL,
                pass_fds=[worker_end.fileno()],
                env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
                start_new_session=True,  # Ctrl-C reaches only this process, which ends the workers
            )
        finally:
            worker_end.close()

    def wait_until_ready(self, timeout_seconds: float = START_SECONDS) -> None:
        """Wait until the worker has started, or has completed a task."""
        if not isinstance(self._receive(timeout_seconds), Ready):
            raise WorkerLostError("did not report that it is ready")

    def send(self, request: Any, timeout_seconds: float) -> Iterator[Any]:
        """Send a request and yield its answers, for decoding lists of events and `ItemStarts`."""
        try:
            self._pipe.send(request)
        except OSError as error:
            raise WorkerLostError(self._exit_reason()) from error
        while not isinstance(message := self._receive(timeout_seconds), Ready):
            yield message

    def run(self, task: FileTask, descriptor: int, timeout_seconds: float) -> Any:
        """Run a task on the file of a descriptor, which stays open here."""
        try:
            self._pipe.send(task)
            reduction.send_handle(self._pipe, descriptor, self._process.pid)
        except OSError as error:
            raise WorkerLostError(self._exit_reason()) from error
        message = self._receive(timeout_seconds)
        self.wait_until_ready(timeout_seconds)
        return message

    def _receive(self, timeout_seconds: float) -> Any:
        try:
            if not self._pipe.poll(timeout_seconds):
                raise WorkerLostError(f"did not respond for {timeout_seconds:g} seconds")
            message = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise WorkerLostError(self._exit_reason()) from error
        return message

    def _exit_reason(self) -> str:
        code = self._process.wait()
        return f"was ended by signal {-code}" if code < 0 else f"crashed with exit code {code}"

    def kill(self) -> None:
        """End the process immediately."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End the process and close the pipes to it."""
        self.kill()
        self._pipe.close()
        if self._process.stdin is not None:
            self._process.stdin.close()
