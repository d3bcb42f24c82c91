"""Tasks run in other processes on open files, and a lost process costs one task."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from retrieval.errors import DamagedMediaError, MediaTooLargeError
from retrieval.media.workers.tasks import TaskPool
from support.file_tasks import Describe, Fail


@pytest.fixture(scope="module")
def pool() -> Iterator[TaskPool]:
    pool = TaskPool(2, timeout_seconds=30.0)
    yield pool
    pool.close()


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    handle = os.open(path, os.O_RDONLY)
    path.unlink()  # the descriptor counts, not the path
    yield handle
    os.close(handle)


def test_a_task_reads_a_span_in_another_process(pool: TaskPool, descriptor: int) -> None:
    content, process = pool.run(Describe(), descriptor, 2, 5)  # type: ignore[misc]
    assert content == b"23456"
    assert process != os.getpid()
    assert pool.run(Describe(), descriptor, 0, 10)[0] == b"0123456789"  # type: ignore[index]


def test_many_tasks_share_the_processes(pool: TaskPool, descriptor: int) -> None:
    with ThreadPoolExecutor(8) as threads:
        tasks = [threads.submit(pool.run, Describe(), descriptor, i, 1) for i in range(10)]
        results = [task.result() for task in tasks]
    assert [content for content, _ in results] == [b"%d" % i for i in range(10)]
    assert len({process for _, process in results}) <= 2


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("crash", DamagedMediaError, "its decoder crashed with exit code 7"),
        ("too large", MediaTooLargeError, "^too large$"),
        ("bug", DamagedMediaError, "bug"),
    ],
)
def test_a_failure_is_an_error_of_its_file_and_the_next_task_works(
    pool: TaskPool, descriptor: int, how: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        pool.run(Fail(how), descriptor, 0, 10)
    assert pool.run(Describe(), descriptor, 0, 1)[0] == b"0"  # type: ignore[index]


def test_a_hanging_task_is_ended(descriptor: int) -> None:
    pool = TaskPool(1, timeout_seconds=10.0)
    pool.start_all()
    pool._timeout_seconds = 0.2
    try:
        with pytest.raises(DamagedMediaError, match=r"did not respond for 0\.2 seconds"):
            pool.run(Fail("hang"), descriptor, 0, 1)
        pool._timeout_seconds = 30.0
        assert pool.run(Describe(), descriptor, 0, 1)[0] == b"0"  # type: ignore[index]
    finally:
        pool.close()
