"""A decoder that crashes costs one call."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from retrieval.errors import DamagedMediaError, StorageError, UnsupportedMediaError
from retrieval.timelines.clips.cutting import cut_video
from retrieval.timelines.worker import MediaWorker
from support.numbered_videos import read_frames, write_numbered


def test_crashes_and_errors_are_failures_and_the_next_call_works(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "v.mp4", 30)
    out = tmp_path / "c.mp4"
    out.touch()
    with MediaWorker() as worker:
        with pytest.raises(DamagedMediaError, match=f"ended by signal {signal.SIGABRT:d}"):
            worker.call(os.abort)
        with pytest.raises(UnsupportedMediaError, match="No such file"):
            worker.call(os.stat, str(tmp_path / "none"))
        reports: list[float] = []
        cut = worker.call(cut_video, str(path), (0.2, 0.8), str(out), report=reports.append)
    assert (cut.start_seconds, cut.end_seconds) == (0.2, 0.8)
    assert [number for _, number in read_frames(out)] == list(range(5, 20))


def full() -> None:
    raise OSError(28, "No space left on device")


def test_a_full_disk_ends_the_export() -> None:
    with MediaWorker(in_process=True) as worker, pytest.raises(StorageError, match="no space left"):
        worker.call(full)
