"""A thread-safe cache of computed values."""

from __future__ import annotations

from collections.abc import Callable, Hashable, MutableMapping
from typing import Generic, TypeVar

from cachetools import LRUCache

from indexes.forking import ForkSafeLock

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class LruCache(Generic[Key, Value]):
    """Caches computed values by key and evicts the least recently used ones.

    Threads compute outside the lock, so two threads may compute the same value.

    Args:
        max_size: Upper bound of the values' total size. The newest value stays whatever its size.
        size: Measures a value; by default `max_size` is a number of values.
    """

    def __init__(self, max_size: int, size: Callable[[Value], int] = lambda value: 1) -> None:
        self._values: MutableMapping[Key, Value] = LRUCache(
            max_size, getsizeof=lambda value: min(size(value), max_size)
        )
        self._lock = ForkSafeLock()

    def get(self, key: Key, compute: Callable[[], Value]) -> Value:
        """Return the value of a key; call `compute` if it is not cached."""
        with self._lock:
            if key in self._values:
                return self._values[key]
        value = compute()
        with self._lock:
            return self._values.setdefault(key, value)

    def __len__(self) -> int:
        return len(self._values)
