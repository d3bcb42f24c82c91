"""Calls functions at the same time, in threads that all searches share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

Result = TypeVar("Result")

MAX_THREADS = 64
"""Number of threads. Most of them wait for files, or for members in other processes."""


def call_each(calls: Sequence[Callable[[], Result]]) -> list[Result]:
    """Call all functions at the same time; return their results in order.

    A single function runs in the calling thread. If several functions fail, the error of the first
    one is raised, after all have finished.
    """
    if len(calls) < 2:
        return [call() for call in calls]
    futures = [_threads().submit(call) for call in calls[1:]]
    try:
        first = calls[0]()
    finally:
        errors = [future.exception() for future in futures]
    for error in errors:
        if error is not None:
            raise error
    return [first, *(future.result() for future in futures)]


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="retrieval-member")


if hasattr(os, "register_at_fork"):  # A forked process has no threads of its parent.
    os.register_at_fork(after_in_child=_threads.cache_clear)
