import sys
import threading

import pytest

from retrieval.caching import LruCache


def test_a_value_is_computed_once() -> None:
    cache: LruCache[str, int] = LruCache(2)
    computed: list[str] = []

    def get(key: str) -> int:
        return cache.get(key, lambda: computed.append(key) or len(computed))  # type: ignore[func-returns-value]

    assert [get(key) for key in "aabab"] == [1, 1, 2, 1, 2]
    get("c")  # evicts `a`, the least recently used
    assert [get("b"), get("a")] == [2, 4]
    assert computed == ["a", "b", "c", "a"]
    assert len(cache) == 2


def test_the_total_size_is_bounded_and_the_newest_value_stays() -> None:
    cache: LruCache[int, bytes] = LruCache(10, len)
    for number, size in enumerate([4, 4, 4]):
        cache.get(number, lambda size=size: bytes(size))  # type: ignore[misc]
    assert len(cache) == 2
    cache.get(9, lambda: bytes(99))
    assert len(cache) == 1


def test_failed_computations_are_not_cached() -> None:
    cache: LruCache[str, int] = LruCache(2)
    with pytest.raises(ZeroDivisionError):
        cache.get("a", lambda: 1 // 0)
    assert cache.get("a", lambda: 3) == 3


def test_field_52_eight_threads_and_many_keys() -> None:
    cache: LruCache[int, int] = LruCache(5)
    errors: list[object] = []
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def read(seed: int) -> None:
        try:
            for step in range(4_000):
                key = (step * 7 + seed) % 60
                if cache.get(key, lambda key=key: key * key) != key * key:  # type: ignore[misc]
                    errors.append(key)
        except Exception as error:
            errors.append(error)

    try:
        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert errors == []
    assert len(cache) == 5
