"""Streams of videos that browsers cannot play, each converted by a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator

from retrieval.errors import DamagedMediaError
from retrieval.serving.errors import busy
from retrieval.serving.item_files import ItemFile
from retrieval.serving.limits import DECODE_SECONDS, MAX_TRANSCODES, STALL_SECONDS

CHUNK_BYTES = 64 << 10


class Transcodes:
    """Runs a limited number of transcoding processes.

    Attributes:
        running: Number of processes.
    """

    def __init__(self) -> None:
        self.running = 0

    async def start(
        self, item: ItemFile, start_seconds: float, end_seconds: float
    ) -> AsyncIterator[bytes]:
        """Convert a span of an item, and close the item's descriptor.

        Returns:
            Fragmented MP4. Its process ends with the iterator, or when nobody reads it for
            `STALL_SECONDS`.

        Raises:
            HttpError: 503: too many processes are running.
            DamagedMediaError: The item cannot be converted.
        """
        if self.running >= MAX_TRANSCODES:
            item.close()
            raise busy("too many videos are being converted")
        self.running += 1
        try:
            process = await _start_process(item, start_seconds, end_seconds)
        except BaseException:
            self.running -= 1
            raise
        ended = asyncio.ensure_future(process.wait())
        ended.add_done_callback(self._count_end)
        try:
            first = await _first_chunk(process)
        except BaseException:
            _kill(process)
            raise
        return _chunks(process, first, _stalled_timer(process))

    def _count_end(self, ended: asyncio.Future[int]) -> None:
        del ended
        self.running -= 1


async def _chunks(
    process: Process, chunk: bytes, stalled: asyncio.TimerHandle
) -> AsyncIterator[bytes]:
    """Yield what a process writes; the timer also ends a stream that is never begun."""
    assert process.stdout is not None
    try:
        while chunk:
            yield chunk
            stalled.cancel()
            chunk = await process.stdout.read(CHUNK_BYTES)
            stalled = _stalled_timer(process)
    finally:
        stalled.cancel()
        _kill(process)
        await process.wait()


def _stalled_timer(process: Process) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(STALL_SECONDS, _kill, process)


async def _start_process(item: ItemFile, start: float, end: float) -> Process:
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "retrieval.serving.transcoder",
            str(item.descriptor), str(item.offset), str(item.record.size), f"{start}", f"{end}",
            stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=PIPE,
            pass_fds=[item.descriptor],
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )  # fmt: skip
    finally:
        item.close()


async def _first_chunk(process: Process) -> bytes:
    """Wait for the beginning of the stream, so that a failure can still become a status."""
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(DECODE_SECONDS):
            chunk = await process.stdout.read(CHUNK_BYTES)
            if chunk:
                return chunk
            lines = (await process.stderr.read(4_096)).decode("utf-8", "replace").splitlines()
    except TimeoutError:
        raise DamagedMediaError("the video cannot be converted in time") from None
    reason = lines[-1] if lines else "its decoder crashed"
    raise DamagedMediaError(f"the video cannot be converted: {reason}")


def _kill(process: Process) -> None:
    if process.returncode is None:
        process.kill()
