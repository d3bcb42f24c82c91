"""Serve decoding requests and tasks from a pipe, as the main code of a worker process.

A worker is a new interpreter that imports only the decoders. It is never forked: FAISS and torch do
not survive a fork, and importing them would make workers slow and large.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any, BinaryIO, Protocol

from retrieval.files.spans import open_span
from retrieval.media.decode import decode, format_error
from retrieval.types import (
    DecodedChunk,
    DecodedSpeech,
    DecodeEvent,
    DecodePlan,
    KnownFile,
    Source,
)

MESSAGE_BYTES = 256 << 10
MESSAGE_SECONDS = 0.1
"""A message is sent at this size or after this time, so that small images share messages."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request to decode sources.

    Attributes:
        sources: The sources.
        plan: The inputs that the encoders need.
        known: Files of the collection among these sources, by URI.
        first_event: Number of events to leave out, because an earlier worker delivered them.
        skip: URIs to leave out, because they crashed earlier workers.
        careful: Send every event immediately and announce every item, to identify an item that
            crashes this worker.
    """

    sources: tuple[Source, ...]
    plan: DecodePlan
    known: dict[str, KnownFile]
    first_event: int = 0
    skip: frozenset[str] = frozenset()
    careful: bool = False


class Task(Protocol):
    """Work on one open file; picklable, as its result is."""

    def run(self, file: BinaryIO) -> object:
        """Return the result, or raise an error that says what is wrong with the file."""


@dataclass(frozen=True, slots=True)
class FileTask:
    """A task on a span of a file, whose descriptor follows on the pipe."""

    task: Task
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The result of a task."""

    value: object


@dataclass(frozen=True, slots=True)
class TaskError:
    """The error of a task: the name of its class, and its message as one line."""

    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class ItemStarts:
    """Announces that the request's event number `first_event` belongs to this item."""

    uri: str
    first_event: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker waits for a request: it has just started, or has completed the last one."""


def event_bytes(event: DecodeEvent) -> int:
    """Estimate the size of an event in memory and in a pipe."""
    if isinstance(event, DecodedChunk | DecodedSpeech):
        return 1_000 + event.samples.nbytes
    return 1_000


def serve(handle: int, answer: Callable[[Connection, Any], None] | None = None) -> None:
    """Answer requests until the other end of the pipe is closed.

    Args:
        handle: File descriptor of a two-way pipe. Standard input is a pipe without a writer; its
            end means that the parent process has ended.
        answer: Sends the answers to one request; None decodes sources and runs tasks.
    """
    answer = answer or _answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    _silence_libraries()
    pipe = Connection(handle)
    try:
        pipe.send(Ready())
        while True:
            answer(pipe, pipe.recv())
            pipe.send(Ready())
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    os._exit(0)  # no clean-up: the other thread may hold a lock


def _run(request: FileTask, descriptor: int) -> TaskResult | TaskError:
    """Run a task on the file of a descriptor, which is closed afterwards."""
    try:
        with open_span(descriptor, request.offset, request.size) as file:
            return TaskResult(request.task.run(file))
    except Exception as error:
        # Decoders raise arbitrary exceptions on bad data.
        return TaskError(type(error).__name__, format_error(error))
    finally:
        os.close(descriptor)


def _answer(pipe: Connection, request: Request | FileTask) -> None:
    """Send the result of a task, or the events of a request's sources."""
    if isinstance(request, FileTask):
        pipe.send(_run(request, reduction.recv_handle(pipe)))
        return
    outbox = _Outbox(pipe, request)
    on_item = outbox.announce if request.careful else None
    for source in request.sources:
        for event in decode(
            source, request.plan, request.known, skip=request.skip, on_item=on_item
        ):
            outbox.add(event)
    outbox.flush()


class _Outbox:
    """Groups events into messages."""

    def __init__(self, pipe: Connection, request: Request) -> None:
        self._pipe = pipe
        self._request = request
        self._count = 0
        self._events: list[DecodeEvent] = []
        self._bytes = 0
        self._last_sent = time.monotonic()

    def announce(self, uri: str) -> None:
        self._pipe.send(ItemStarts(uri, self._count))

    def add(self, event: DecodeEvent) -> None:
        self._count += 1
        if self._count > self._request.first_event:
            self._events.append(event)
            self._bytes += event_bytes(event)
        is_full = self._bytes >= MESSAGE_BYTES or self._request.careful
        if is_full or time.monotonic() - self._last_sent > MESSAGE_SECONDS:
            self.flush()

    def flush(self) -> None:
        # Empty messages prevent a timeout while delivered events are decoded again.
        self._pipe.send(self._events)
        self._events = []
        self._bytes = 0
        self._last_sent = time.monotonic()


def _exit_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)


def _silence_libraries() -> None:
    """Discard the C libraries' output about damaged files, but keep Python's errors."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
