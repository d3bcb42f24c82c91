"""`bench speed startup`: how long `retrieval --help` takes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.report import Result
from benchmarks.speed import SUITE

RUNS = 11
HELP = "from cli.main import main; main()"


def run(*, say: Callable[[str], None], folder: Path, scale: float = 1.0) -> list[Result]:
    """The median of some runs, with Python's own start beside it."""
    del folder, scale
    say(f"starting {RUNS} times")
    median = _median_seconds([sys.executable, "-c", HELP, "--help"])
    python = _median_seconds([sys.executable, "-c", "pass"])
    return [Result(SUITE, "retrieval --help", "seconds", median, goal=0.3, baseline=python)]


def _median_seconds(command: list[str]) -> float:
    took = []
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        took.append(time.perf_counter() - began)
    return statistics.median(took)
