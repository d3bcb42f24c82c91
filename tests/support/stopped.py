"""A training that is stopped and goes on, beside the same one in one piece."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from retrieval.training.run import Telling


def assert_ends_the_same(
    train: Callable[[Path, Telling], object], folder: Path, *stops: str
) -> list[str]:
    """Train whole, and train again with a stop at each of `stops`; both folders end alike.

    Args:
        train: Trains into a folder.
        folder: Where both are made.
        stops: Such as "train 8": what the bar shows and the steps done.

    Returns:
        What the stopped training said after each stop.
    """
    train(folder / "whole", Telling())
    said: list[str] = []
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            train(folder / "mine", Telling(said.append, _stop_at(stop)))
        assert [path.name for path in (folder / "mine").glob("checkpoint*")]
        said.clear()
    train(folder / "mine", Telling(said.append))
    whole = {path.name: path.read_bytes() for path in (folder / "whole").iterdir()}
    mine = {path.name: path.read_bytes() for path in (folder / "mine").iterdir()}
    for files in (whole, mine):
        del files["README.md"]  # says how long it took
    assert mine == whole
    assert whole["training.svg"].startswith(b"<svg")
    return said


def _stop_at(stop: str) -> Callable[[str, int, int, str], None]:
    def progress(what: str, done: int, total: int, note: str) -> None:
        if f"{what} {done}" == stop:
            raise KeyboardInterrupt

    return progress
