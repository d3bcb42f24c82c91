"""The process that decodes for another: takes requests from a pipe, sends decode events back.

It is started as a fresh interpreter that imports the decoders only, never forked: FAISS and torch
do not survive a fork, and a worker that imported them would start slowly and large.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

from retrieval.media.decode import decode
from retrieval.types import DecodedChunk, DecodeEvent, DecodePlan, KnownFile, Source

MESSAGE_BYTES = 256 << 10
MESSAGE_SECONDS = 0.1
"""Events are sent in messages of this size, or after this time: a small picture costs a share."""


@dataclass(frozen=True, slots=True)
class Request:
    """Some sources to decode.

    Attributes:
        known: What the collection holds of these sources.
        first_event: Leave out this many events: an earlier worker delivered them.
        skip: Uris to leave out: they brought earlier workers down.
        careful: Send every event at once and say which item is next, so that the one that brings
            this worker down is known.
    """

    sources: tuple[Source, ...]
    plan: DecodePlan
    known: dict[str, KnownFile]
    first_event: int = 0
    skip: frozenset[str] = frozenset()
    careful: bool = False


@dataclass(frozen=True, slots=True)
class ItemBegins:
    """The next event, number `first_event` of the request, belongs to this item."""

    uri: str
    first_event: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker waits for a request: it has just started, or the last one is done."""


Message = list[DecodeEvent] | ItemBegins | Ready


def event_bytes(event: DecodeEvent) -> int:
    """Estimate what an event costs in memory and in a pipe."""
    return 1_000 + (event.samples.nbytes if isinstance(event, DecodedChunk) else 0)


def serve(handle: int) -> None:
    """Answer requests until the other end of the pipe is closed.

    Args:
        handle: File descriptor of a two-way pipe. Standard input is a pipe that nobody writes to;
            its end means that the parent is gone, however that happened.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _silence_libraries()
    pipe = Connection(handle)
    try:
        pipe.send(Ready())
        while True:
            answer(pipe, pipe.recv())
            pipe.send(Ready())
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    os._exit(0)  # no clean-up: the thread above may hold a lock


def answer(pipe: Connection, request: Request) -> None:
    """Decode a request's sources and send their events."""
    outbox = _Outbox(pipe, request)
    on_item = outbox.begin if request.careful else None
    for source in request.sources:
        for event in decode(
            source, request.plan, request.known, skip=request.skip, on_item=on_item
        ):
            outbox.add(event)
    outbox.flush()


class _Outbox:
    """Gathers events into messages."""

    def __init__(self, pipe: Connection, request: Request) -> None:
        self._pipe = pipe
        self._request = request
        self._produced = 0
        self._events: list[DecodeEvent] = []
        self._bytes = 0
        self._sent = time.monotonic()

    def begin(self, uri: str) -> None:
        self._pipe.send(ItemBegins(uri, self._produced))

    def add(self, event: DecodeEvent) -> None:
        self._produced += 1
        if self._produced > self._request.first_event:
            self._events.append(event)
            self._bytes += event_bytes(event)
        full = self._bytes >= MESSAGE_BYTES or self._request.careful
        if full or time.monotonic() - self._sent > MESSAGE_SECONDS:
            self.flush()

    def flush(self) -> None:
        # Sent even when empty: a sign of life while delivered events are decoded again.
        self._pipe.send(self._events)
        self._events = []
        self._bytes = 0
        self._sent = time.monotonic()


def _leave_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)


def _silence_libraries() -> None:
    """Keep Python's own errors on the terminal, not the C libraries' remarks on damaged files."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)
    os.close(quiet)
