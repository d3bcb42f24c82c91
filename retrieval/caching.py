"""Values that are worked out once and kept, used by several threads at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from indexes.forking import ForkSafeLock

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Memo(Generic[Key, Value]):
    """Keeps values by key; of too many, those that were asked for longest ago go first.

    Two threads that ask for the same new value at once may both work it out: nobody waits for the
    values of others.

    Args:
        most: What the kept values may take together; the latest is kept whatever it takes.
        size: What a value takes; 1 by default, so that `most` counts values.
    """

    def __init__(self, most: int, size: Callable[[Value], int] = lambda value: 1) -> None:
        self._most = most
        self._size = size
        self._lock = ForkSafeLock()
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._total = 0

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of a key, worked out by `make` where it is not kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        value = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = value
                self._total += self._size(value)
                while self._total > self._most and len(self._kept) > 1:
                    self._total -= self._size(self._kept.popitem(last=False)[1])
            return self._kept[key]

    def __len__(self) -> int:
        return len(self._kept)
