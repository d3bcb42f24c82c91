import sys
import threading

import pytest

from retrieval.caching import Memo


def test_a_value_is_worked_out_once_and_kept() -> None:
    memo: Memo[str, int] = Memo(2)
    made: list[str] = []

    def make(key: str) -> int:
        return memo.get(key, lambda: made.append(key) or len(made))  # type: ignore[func-returns-value]

    assert [make(key) for key in "aabab"] == [1, 1, 2, 1, 2]
    make("c")  # `a` was asked for longest ago
    assert [make("b"), make("a")] == [2, 4]
    assert made == ["a", "b", "c", "a"]
    assert len(memo) == 2


def test_sizes_bound_what_is_kept_and_the_latest_stays() -> None:
    memo: Memo[int, bytes] = Memo(10, len)
    for number, size in enumerate([4, 4, 4]):
        memo.get(number, lambda size=size: bytes(size))  # type: ignore[misc]
    assert len(memo) == 2
    memo.get(9, lambda: bytes(99))
    assert len(memo) == 1


def test_what_fails_is_not_kept() -> None:
    memo: Memo[str, int] = Memo(2)
    with pytest.raises(ZeroDivisionError):
        memo.get("a", lambda: 1 // 0)
    assert memo.get("a", lambda: 3) == 3


def test_field_52_eight_threads_and_many_keys() -> None:
    memo: Memo[int, int] = Memo(5)
    wrong: list[object] = []
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def ask(seed: int) -> None:
        try:
            for step in range(4_000):
                key = (step * 7 + seed) % 60
                if memo.get(key, lambda key=key: key * key) != key * key:  # type: ignore[misc]
                    wrong.append(key)
        except Exception as error:
            wrong.append(error)

    try:
        threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert wrong == []
    assert len(memo) == 5
