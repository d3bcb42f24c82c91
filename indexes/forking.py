"""What a process that was forked needs before it searches: `os.fork` copies one thread of many.

OpenMP, which FAISS and torch add up and multiply with, goes on counting on threads that the child
does not have, and waits for them for ever. So the thread that a fork leaves computes on its own;
threads that the child starts get helpers of their own. A lock that another thread held would never
be given back: the locks made here are new in the child.
"""

from __future__ import annotations

import os
import sys
import threading
from types import TracebackType
from weakref import WeakSet


class Lock:
    """A reentrant lock that no thread holds in a process that was just forked."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Forget who holds it."""
        self._lock = threading.RLock()


_locks: WeakSet[Lock] = WeakSet()


def _after_fork() -> None:
    for lock in list(_locks):
        lock.renew()
    # A library that was not loaded before the fork has no threads to lose.
    if (faiss := sys.modules.get("faiss")) is not None:
        faiss.omp_set_num_threads(1)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_after_fork)
