"""Thumbnails and waveforms: made in decoding processes once, and cached in memory and on disk."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

from cachetools import LRUCache

from retrieval.media.workers.tasks import TaskPool
from retrieval.media.workers.worker import Task
from retrieval.serving.disk_cache import DiskCache
from retrieval.serving.errors import busy
from retrieval.serving.item_files import ItemFiles, ItemRecord
from retrieval.serving.limits import MAX_WAITING_MEDIA, MEMORY_CACHE_BYTES
from retrieval.serving.tasks import ProbeTask, ThumbnailTask, WaveformTask

CACHE_VERSION = 1
"""Part of every key; another way of drawing needs another number."""

SIDES = (160, 320, 640, 1280, 2560)
"""Sizes of thumbnails; a request gets the next larger one."""

MAX_PEAKS = 2_000


class DerivedMedia:
    """What is computed from the files of items.

    Args:
        files: Opens the files.
        pool: Decoding processes.
        cache: The cache on disk.
        threads: Number of requests that wait for a process or the disk at the same time.
    """

    def __init__(self, files: ItemFiles, pool: TaskPool, cache: DiskCache, threads: int) -> None:
        self._files = files
        self._pool = pool
        self._disk = cache
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="media")
        self._memory: LRUCache[str, bytes] = LRUCache(MEMORY_CACHE_BYTES, getsizeof=len)
        self._running: dict[str, asyncio.Future[bytes]] = {}
        self.made = 0

    @property
    def waiting(self) -> int:
        """Number of results that are being made."""
        return len(self._running)

    async def thumbnail(self, record: ItemRecord, seconds: float, side: int) -> bytes:
        """Return a picture of an item as WebP.

        Raises:
            HttpError: The item's file is gone, or the queue is full.
            MediaError: The file cannot be shown.
        """
        side = next((known for known in SIDES if known >= side), SIDES[-1])
        seconds = round(seconds, 1)
        key = f"thumbnail {CACHE_VERSION} {record.sha256} {seconds:.1f} {side}"
        return await self._get(key, record, ThumbnailTask(record.modality, seconds, side))

    async def waveform(self, record: ItemRecord, bins: int) -> bytes:
        """Return the peaks of a recording or video as JSON; see `thumbnail` for errors."""
        key = f"waveform {CACHE_VERSION} {record.sha256} {bins}"
        return await self._get(key, record, WaveformTask(bins))

    async def probe(self, record: ItemRecord) -> bytes:
        """Return container and codecs as JSON; see `thumbnail` for errors."""
        key = f"probe {CACHE_VERSION} {record.sha256}"
        return await self._get(key, record, ProbeTask(record.modality))

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _get(self, key: str, record: ItemRecord, task: Task) -> bytes:
        """Return a cached result; equal requests at the same time share one computation."""
        content = self._memory.get(key)
        if content is not None:
            return content
        running = self._running.get(key)
        if running is None:
            if len(self._running) >= MAX_WAITING_MEDIA:
                raise busy("too many thumbnails are being made")
            running = asyncio.ensure_future(self._make(key, record, task))
            self._running[key] = running
            running.add_done_callback(lambda done: self._finish(key, done))
        # A client that leaves must not cancel the work that others wait for.
        return await asyncio.shield(running)

    def _finish(self, key: str, done: asyncio.Future[bytes]) -> None:
        del self._running[key]
        if not done.cancelled() and done.exception() is None and len(done.result()) < 1 << 20:
            self._memory[key] = done.result()

    async def _make(self, key: str, record: ItemRecord, task: Task) -> bytes:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._read_or_make, key, record, task)

    def _read_or_make(self, key: str, record: ItemRecord, task: Task) -> bytes:
        content = self._disk.get(key)
        if content is None:
            item = self._files.open(record)
            try:
                result = self._pool.run(task, item.descriptor, item.offset, record.size)
            finally:
                item.close()
            content = result if isinstance(result, bytes) else json.dumps(result).encode()
            self.made += 1
            self._disk.put(key, content)
        return content
