"""Read media in a worker process, so that a crashing decoder costs one hit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from retrieval.errors import StorageError, UnsupportedMediaError
from retrieval.files.writing import FULL
from retrieval.media.workers.process import WorkerLostError, WorkerProcess
from retrieval.media.workers.worker import serve
from retrieval.timelines.source_files import reason_of

CODE = "import sys; from retrieval.timelines import worker; worker.serve_calls(int(sys.argv[1]))"
TIMEOUT_SECONDS = 300.0
REPORT_SECONDS = 0.1
"""Progress is sent at most this often; it also shows that the worker is alive."""

Report = Callable[[float], None]


def ignore(seconds: float) -> None:
    """Ignore the progress."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A function of a module, its arguments, and whether it takes `report`."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    reports: bool


@dataclass(frozen=True, slots=True)
class _Result:
    """The value of a call, or the reason of its failure.

    Attributes:
        is_full: Whether the disk is full, which every further call would meet too.
    """

    value: Any = None
    failure: str | None = None
    is_full: bool = False


class MediaWorker:
    """Calls functions that read media, in one worker process; a context manager.

    The process starts at the first call and is replaced when it crashes.

    Args:
        in_process: Call the functions in this process.
    """

    def __init__(self, *, in_process: bool = False) -> None:
        self._in_process = in_process
        self._process: WorkerProcess | None = None

    def __enter__(self) -> MediaWorker:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def call(
        self, function: Callable[..., Any], *arguments: Any, report: Report | None = None
    ) -> Any:
        """Call a function of a module; return its value.

        Args:
            function: It must be importable.
            arguments: They and the value must be picklable.
            report: Receives progress. If it is given, the function gets a keyword `report`.

        Raises:
            UnsupportedMediaError: The function raised an error; the message is one line.
            DamagedMediaError: The process crashed or hangs.
            StorageError: The disk is full.
        """
        call = _Call(function, arguments, report is not None)
        if self._in_process:
            result = _run(call, report or ignore)
        else:
            result = self._run_in_worker(call, report or ignore)
        if result.is_full:
            raise StorageError("no space left to write clips; free some and run again")
        if result.failure is not None:
            raise UnsupportedMediaError(result.failure)
        return result.value

    def _run_in_worker(self, call: _Call, report: Report) -> _Result:
        result = _Result(failure="the worker sent no result")
        try:
            if self._process is None:
                self._process = WorkerProcess(CODE)
                self._process.wait_until_ready()
            for message in self._process.send(call, TIMEOUT_SECONDS):
                if isinstance(message, _Result):
                    result = message
                else:
                    report(message)
        except WorkerLostError as lost:
            self._end()
            raise lost.damage() from lost
        except BaseException:
            self._end()  # what the process sends next would belong to this call
            raise
        return result

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.close()


def serve_calls(handle: int) -> None:
    """Run the calls that a `MediaWorker` sends, as the main code of its process."""
    serve(handle, _answer)


def _answer(pipe: Connection, call: _Call) -> None:
    last = time.monotonic()

    def report(seconds: float) -> None:
        nonlocal last
        if time.monotonic() - last > REPORT_SECONDS:
            last = time.monotonic()
            pipe.send(seconds)

    pipe.send(_run(call, report))


def _run(call: _Call, report: Report) -> _Result:
    try:
        keywords = {"report": report} if call.reports else {}
        return _Result(call.function(*call.arguments, **keywords))
    except Exception as error:  # decoders raise any error for a damaged file
        return _Result(failure=reason_of(error), is_full=getattr(error, "errno", None) in FULL)
