"""Runs searches in a bounded number of threads, with a bounded queue before them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from retrieval.serving.errors import busy

Result = TypeVar("Result")


class SearchQueue:
    """A queue of blocking calls.

    Args:
        running: Number of threads.
        waiting: Number of further requests; one more is refused.
    """

    def __init__(self, running: int, waiting: int) -> None:
        self._limit = running + waiting
        self._threads = ThreadPoolExecutor(running, thread_name_prefix="search")
        self.admitted = 0

    def __enter__(self) -> None:
        """Admit one request.

        Raises:
            HttpError: 503: the queue is full.
        """
        if self.admitted >= self._limit:
            raise busy("too many searches are waiting")
        self.admitted += 1

    def __exit__(self, *error: object) -> None:
        self.admitted -= 1

    async def run(self, work: Callable[[], Result]) -> Result:
        """Run a call of an admitted request when a thread is free."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def submit(self, work: Callable[[], Result]) -> Result:
        """Admit a request that consists of one call, and run it.

        Raises:
            HttpError: 503: the queue is full.
        """
        with self:
            return await self.run(work)

    def close(self) -> None:
        """Drop waiting calls and end the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
