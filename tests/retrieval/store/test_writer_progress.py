"""The published progress of a writer: what other processes read, and what they ignore."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from retrieval.embedding.options import EmbedOptions
from retrieval.embedding.run import embed
from retrieval.progress import no_progress
from retrieval.store import writer_progress
from retrieval.store.lock import HOLDER_NAME, CollectionLock
from retrieval.store.reader import Snapshot
from retrieval.store.writer_progress import (
    PROGRESS_NAME,
    PublishedProgress,
    WriterProgress,
    read_progress,
)
from support import embed_process
from support.toy_runs import pictures

PROGRESS = WriterProgress(
    os.getpid(), socket.gethostname(), "embedding", 120.0, 300.0, 118, 2, 1_000.0, 1_060.0, 1_150.0
)

READ = """
import dataclasses, json, pathlib, sys
from retrieval.store.writer_progress import read_progress
print(json.dumps(dataclasses.asdict(read_progress(pathlib.Path(sys.argv[1])))))
"""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that tests move."""
    now = [1_000.0]
    monkeypatch.setattr(writer_progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(writer_progress.time, "time", lambda: now[0])
    return now


def test_another_process_reads_what_embed_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read while it runs, gone afterwards."""
    embed_process.use_toys(monkeypatch.setattr)
    monkeypatch.setattr(writer_progress, "WRITE_SECONDS", 0.0)
    source = pictures(tmp_path / "media", "red", "green", "blue")
    (source / "bad.png").write_bytes(b"no picture")
    root = tmp_path / "c"
    answers = []

    def progress(task: str, done: float, total: float | None, note: str = "") -> None:
        if done == 4:
            answers.append((task, done, total, note))

    class Reading(PublishedProgress):
        def _write(self, task: str, done: float, total: float | None, now: float) -> None:
            super()._write(task, done, total, now)
            if done == 4:
                answers.append(subprocess.check_output([sys.executable, "-c", READ, str(root)]))

    monkeypatch.setattr("retrieval.embedding.run.PublishedProgress", Reading)
    options = EmbedOptions(models=tuple(embed_process.TOYS), workers=0)
    embed([source], root, options, progress, total=4)
    assert answers[0] == ("embedding", 4, 4, "1 failed")
    seen = json.loads(answers[1])
    assert (seen["process"], seen["task"], seen["done"], seen["total"]) == (
        os.getpid(), "embedding", 4, 4,
    )  # fmt: skip
    assert (seen["items"], seen["failed"]) == (3, 1)
    assert not list(root.glob(".progress*"))
    assert read_progress(root) is None


def test_it_is_written_once_a_second_with_an_estimated_end(
    tmp_path: Path, clock: list[float]
) -> None:
    passed: list[tuple[object, ...]] = []

    def shown(*update: object) -> None:
        passed.append(update)

    with (
        CollectionLock(tmp_path),
        PublishedProgress(tmp_path, shown, lambda: (7, 1), total=100) as progress,
    ):
        seen = []
        for step in range(31):
            clock[0] = 1_000 + step * 0.25
            progress("embedding", step, None)
            os.utime(tmp_path / PROGRESS_NAME)
            seen.append(json.loads((tmp_path / PROGRESS_NAME).read_text())["done"])
        read = read_progress(tmp_path)
    assert seen[:9] == [0, 0, 0, 0, 4, 4, 4, 4, 8]
    assert passed[:2] == [("embedding", 0, 100, ""), ("embedding", 1, 100, "")]
    assert read is not None
    assert (read.done, read.items, read.failed, read.updated_at) == (28, 7, 1, 1_007.0)
    assert read.ends_at == pytest.approx(1_007 + (100 - 28) / 4)  # 4 a second
    assert read.text(1_007.0) == "embedding, 28 of 100, 1 failed, 18 s left"


def test_a_new_task_has_its_own_rate(tmp_path: Path, clock: list[float]) -> None:
    with (
        CollectionLock(tmp_path),
        PublishedProgress(tmp_path, no_progress, lambda: (0, 0)) as progress,
    ):
        progress("embedding", 0, 10)
        clock[0] += 2
        progress("reading speech", 1, 10)
        read = read_progress(tmp_path)
    assert read is not None
    assert (read.task, read.done, read.total, read.ends_at) == ("reading speech", 1, 10, None)


def test_more_items_than_files_have_no_total(tmp_path: Path, clock: list[float]) -> None:
    """A tar is one file and has many items."""
    with (
        CollectionLock(tmp_path),
        PublishedProgress(tmp_path, no_progress, lambda: (0, 0), total=1) as progress,
    ):
        progress("embedding", 50, None)
        read = read_progress(tmp_path)
    assert read is not None
    assert (read.total, read.text(0.0)) == (None, "embedding, 50")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{}", b"[]", b"\xff", b"\0" * 9,
        json.dumps(asdict(replace(PROGRESS, process=PROGRESS.process + 1))).encode(),
        json.dumps(asdict(replace(PROGRESS, host="elsewhere"))).encode(),
        json.dumps(asdict(PROGRESS)).replace("120.0", "NaN").encode(),
        json.dumps(asdict(PROGRESS)).replace("120.0", "-1").encode(),
        json.dumps(asdict(PROGRESS)).replace("120.0", "1e400").encode(),
    ],
)  # fmt: skip
def test_what_is_not_the_writers_is_ignored(tmp_path: Path, content: bytes) -> None:
    with CollectionLock(tmp_path):
        (tmp_path / PROGRESS_NAME).write_text(json.dumps(asdict(PROGRESS)))
        assert read_progress(tmp_path) == PROGRESS
        (tmp_path / PROGRESS_NAME).write_bytes(content)
        assert read_progress(tmp_path) is None


def test_the_file_of_an_ended_process_is_ignored_and_deleted(tmp_path: Path) -> None:
    path = tmp_path / PROGRESS_NAME
    path.write_text(json.dumps(asdict(PROGRESS)))
    os.utime(path, (1, 1))
    assert read_progress(tmp_path) is None
    with CollectionLock(tmp_path):
        # The same process id, used again: the file is older than the lock.
        assert (tmp_path / HOLDER_NAME).exists()
        assert read_progress(tmp_path) is None
        with PublishedProgress(tmp_path, no_progress, lambda: (0, 0)):
            assert not path.exists()


@pytest.mark.parametrize("kind", ["folder", "FIFO", "full", "read-only", "removed"])
def test_fault_06_progress_that_cannot_be_written_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    embed_process.use_toys(monkeypatch.setattr)
    monkeypatch.setattr(writer_progress, "WRITE_SECONDS", 0.0)
    pictures(tmp_path / "media", "red", "green")
    root = tmp_path / "c"
    root.mkdir()
    error = {"full": 28, "read-only": 30, "removed": 2}.get(kind)
    if kind == "folder":
        (root / PROGRESS_NAME).mkdir()
        (root / f"{PROGRESS_NAME}.tmp").mkdir()
    elif kind == "FIFO":
        os.mkfifo(root / f"{PROGRESS_NAME}.tmp")
    else:

        def refuse(path: Path) -> None:
            raise OSError(error, os.strerror(error))

        monkeypatch.setattr(writer_progress, "PartialFile", refuse)
    calls = []
    options = EmbedOptions(models=tuple(embed_process.TOYS), workers=0)
    report = embed([tmp_path / "media"], root, options, lambda *update: calls.append(update))
    assert (sum(report.added.values()), report.failed) == (2, 0)
    assert len(Snapshot.open(root).item_ids()) == 2
    assert calls


def test_the_times_left_are_readable() -> None:
    assert PROGRESS.text(1_060.0) == "embedding, 120 of 300, 2 failed, 90 s left"
    assert PROGRESS.text(1_200.0).endswith("0 s left")
    long = replace(PROGRESS, ends_at=1_060.0 + 3_000)
    assert long.text(1_060.0).endswith("50 min left")
