"""HTTP/1.1 connections with limits: header time, and a status for headers that are too long."""

from __future__ import annotations

import asyncio
import json

from uvicorn.protocols.http.h11_impl import H11Protocol

from retrieval.serving.guard import SECURITY_HEADERS
from retrieval.serving.limits import HEADER_SECONDS, MAX_HEADER_BYTES

URI_TOO_LONG, HEADERS_TOO_LONG, BAD_REQUEST = 414, 431, 400
PHRASES = {
    URI_TOO_LONG: "URI Too Long",
    HEADERS_TOO_LONG: "Request Header Fields Too Large",
    BAD_REQUEST: "Bad Request",
}


class LimitedProtocol(H11Protocol):
    """uvicorn's protocol; it also closes connections that never complete their next request."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Limit the time until the first request."""
        super().connection_made(transport)
        self._limit_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Limit the time until a request that has begun is complete."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._limit_waiting()
        else:
            self._stop_waiting()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that is not HTTP, or whose first line or headers are too long."""
        received = bytes(self.conn.trailing_data[0])
        status = BAD_REQUEST
        if len(received) >= MAX_HEADER_BYTES:
            status = HEADERS_TOO_LONG if b"\n" in received else URI_TOO_LONG
            msg = f"longer than {MAX_HEADER_BYTES:,} bytes"
        body = json.dumps({"error": msg}).encode()
        headers = {
            **SECURITY_HEADERS,
            "content-type": "application/json",
            "content-length": str(len(body)),
            "connection": "close",
        }
        lines = [f"HTTP/1.1 {status} {PHRASES[status]}", *(f"{k}: {v}" for k, v in headers.items())]
        self.transport.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        self.transport.close()

    def _limit_waiting(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(HEADER_SECONDS, self._close_idle)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _close_idle(self) -> None:
        self.transport.close()
