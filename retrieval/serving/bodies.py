"""Receives the body of a request into a file without a name, within limits of size and time."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO

from starlette.requests import ClientDisconnect, Request

from retrieval.serving.errors import HttpError
from retrieval.serving.limits import BODY_PAUSE_SECONDS, BODY_SECONDS, MAX_BODY_BYTES

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class Body:
    """A received body: an open file, its size, and its sha256 in hex."""

    file: IO[bytes]
    size: int
    digest: str


@asynccontextmanager
async def received(request: Request) -> AsyncIterator[Body]:
    """Receive a body; the file is deleted afterwards.

    Raises:
        HttpError: 413 for too many bytes, 408 for a slow client, 422 for an empty body, 507 for a
            full disk.
    """
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > MAX_BODY_BYTES:
        raise _too_large()
    with tempfile.TemporaryFile(buffering=0) as file:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                size, digest = await _receive(request, file)
        except TimeoutError:
            raise HttpError(408, "the request body arrives too slowly") from None
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            raise HttpError(507, "the server has no space left for the request body") from error
        if not size:
            raise HttpError(422, "the request body is empty; send a picture, recording or video")
        yield Body(file, size, digest)


async def _receive(request: Request, file: IO[bytes]) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    parts = request.stream()
    while True:
        try:
            async with asyncio.timeout(BODY_PAUSE_SECONDS):
                part = await anext(parts)
        except StopAsyncIteration:
            return size, digest.hexdigest()
        except ClientDisconnect:
            raise HttpError(400, "the client left before the body was complete") from None
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        digest.update(part)
        file.write(part)


def _too_large() -> HttpError:
    return HttpError(413, f"the request body is longer than {MAX_BODY_BYTES:,} bytes")
