"""A training that is stopped and resumed, compared with an uninterrupted one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from retrieval.progress import Progress, no_progress


def assert_ends_the_same(
    train: Callable[[Path, Progress], object], folder: Path, *stops: tuple[str, int]
) -> None:
    """Train without a stop, and train again with a stop at each of `stops`; the folders are equal.

    Args:
        train: Trains into a folder.
        folder: Contains both folders.
        stops: The task of the progress bar and the number of finished steps, for each stop.
    """
    train(folder / "whole", no_progress)
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            train(folder / "mine", stop_at(*stop))
        assert [path.name for path in (folder / "mine").glob("checkpoint*")]
    train(folder / "mine", no_progress)
    whole = {path.name: path.read_bytes() for path in (folder / "whole").iterdir()}
    mine = {path.name: path.read_bytes() for path in (folder / "mine").iterdir()}
    for files in (whole, mine):
        del files["README.md"]  # states the time
    assert mine == whole
    assert b"<svg" in whole["training.svg"]


def stop_at(stop_task: str, stop_done: int) -> Progress:
    """A progress callback that interrupts a task at a number of finished steps."""

    def progress(task: str, done: float, total: float | None, note: str = "") -> None:
        if (task, done) == (stop_task, stop_done):
            raise KeyboardInterrupt

    return progress
