"""Sends an item's file from one open descriptor, whole or in ranges."""

from __future__ import annotations

import os
import secrets
from email.utils import formatdate
from urllib.parse import quote

import anyio.to_thread
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from retrieval.serving.errors import HttpError
from retrieval.serving.guard import send_error
from retrieval.serving.item_files import ItemFile
from retrieval.serving.ranges import parse_ranges

CHUNK_BYTES = 256 << 10
CACHE_CONTROL = "private, no-cache"
"""Browsers keep the file, and ask with `If-None-Match` whether it is still the same."""


def etag_matches(header: str | None, etag: str) -> bool:
    """Whether an `If-None-Match` header names a validator."""
    if header is None:
        return False
    values = [value.strip().removeprefix("W/") for value in header.split(",")]
    return "*" in values or etag in values


def attachment(name: str, disposition: str = "attachment") -> str:
    """Return the `Content-Disposition` header for a file name."""
    return f"{disposition}; filename*=utf-8''{quote(name.encode('utf-8', 'replace'), safe='')}"


class FileResponse(Response):
    """An ASGI response that owns the descriptor of an item and closes it.

    Args:
        item: The open file.
        media_type: Its type.
        name: File name for saving it.
        inline: Whether a browser may show it; otherwise it is saved.
    """

    def __init__(self, item: ItemFile, *, media_type: str, name: str, inline: bool) -> None:
        super().__init__()
        self._item = item
        record = item.record
        self._fields = {
            "content-type": media_type,
            "content-disposition": attachment(name, "inline" if inline else "attachment"),
            "etag": record.etag,
            "last-modified": formatdate(max(0.0, record.mtime), usegmt=True),
            "accept-ranges": "bytes",
            "cache-control": CACHE_CONTROL,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        del receive
        try:
            await self._send(scope, Headers(scope=scope), send)
        except HttpError as error:
            await send_error(send, scope, error.status, str(error), error.headers)
        finally:
            self._item.close()

    async def _send(self, scope: Scope, request: Headers, send: Send) -> None:
        size, etag = self._item.record.size, self._fields["etag"]
        if etag_matches(request.get("if-none-match"), etag):
            await _start(send, 304, self._fields)
            await send({"type": "http.response.body", "body": b""})
            return
        ranges = None
        header, condition = request.get("range"), request.get("if-range")
        if header is not None and condition in (None, etag, self._fields["last-modified"]):
            ranges = parse_ranges(header, size)
        head = scope["method"] == "HEAD"
        if ranges is None:
            await _start(send, 200, {**self._fields, "content-length": str(size)})
            await self._body(send, [] if head else [(0, size)])
        elif len(ranges) == 1:
            start, end = ranges[0]
            headers = {
                "content-range": f"bytes {start}-{end - 1}/{size}",
                "content-length": str(end - start),
            }
            await _start(send, 206, {**self._fields, **headers})
            await self._body(send, [] if head else ranges)
        else:
            await self._send_parts(send, ranges, head=head)

    async def _send_parts(self, send: Send, ranges: list[tuple[int, int]], *, head: bool) -> None:
        boundary = secrets.token_hex(16)
        size = self._item.record.size
        kind = self._fields["content-type"]
        heads = [
            f"--{boundary}\r\ncontent-type: {kind}\r\n"
            f"content-range: bytes {start}-{end - 1}/{size}\r\n\r\n".encode()
            for start, end in ranges
        ]
        tail = f"--{boundary}--\r\n".encode()
        length = sum(map(len, heads)) + sum(end - start + 2 for start, end in ranges) + len(tail)
        headers = {
            "content-type": f"multipart/byteranges; boundary={boundary}",
            "content-length": str(length),
        }
        await _start(send, 206, {**self._fields, **headers})
        for part, span in zip(heads, ranges, strict=True):
            if head:
                break
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await self._chunks(send, *span)
            await send({"type": "http.response.body", "body": b"\r\n", "more_body": True})
        await send({"type": "http.response.body", "body": b"" if head else tail})

    async def _body(self, send: Send, spans: list[tuple[int, int]]) -> None:
        for start, end in spans:
            await self._chunks(send, start, end)
        await send({"type": "http.response.body", "body": b""})

    async def _chunks(self, send: Send, start: int, end: int) -> None:
        """Send a span of the file.

        Raises:
            OSError: The file is shorter now; the connection breaks off.
        """
        while start < end:
            count = min(CHUNK_BYTES, end - start)
            data = await anyio.to_thread.run_sync(
                os.pread, self._item.descriptor, count, self._item.offset + start
            )
            if not data:
                raise OSError(f"the file of item {self._item.record.item_id} was cut meanwhile")
            await send({"type": "http.response.body", "body": data, "more_body": True})
            start += len(data)


async def _start(send: Send, status: int, headers: dict[str, str]) -> None:
    raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
