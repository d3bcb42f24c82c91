"""Keeps searches working in processes created by `os.fork`, which copies only one thread.

The child lacks the OpenMP worker threads of FAISS and torch and would wait for them forever, so
OpenMP is limited to one thread there. Threads started by the child get new OpenMP workers. A
`ForkSafeLock` held by a thread of the parent is free in the child.
"""

from __future__ import annotations

import os
import sys
import threading
from types import TracebackType
from weakref import WeakSet


class ForkSafeLock:
    """A reentrant lock that is free in a newly forked process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()

    def reset(self) -> None:
        """Replace the lock with a free one."""
        self._lock = threading.RLock()


_locks: WeakSet[ForkSafeLock] = WeakSet()


def _after_fork() -> None:
    for lock in list(_locks):
        lock.reset()
    # A library that is not loaded yet has no threads to lose.
    if (faiss := sys.modules.get("faiss")) is not None:
        faiss.omp_set_num_threads(1)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # Windows cannot fork.
    os.register_at_fork(after_in_child=_after_fork)
