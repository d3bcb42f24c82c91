"""`bench speed startup`: how long `retrieval --help` takes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.results.tables import Result
from benchmarks.speed.harness import in_turns, row, timed

RUNS = 11
HELP = "from cli.main import main; main()"


def run(*, say: Callable[[str], None], folder: Path, scale: float = 1.0) -> list[Result]:
    """The median of some runs, with Python's own start beside it."""
    del folder, scale
    say(f"starting {RUNS} times")
    taken = in_turns(
        {
            "help": timed(lambda: _run(sys.executable, "-c", HELP, "--help")),
            "python": timed(lambda: _run(sys.executable, "-c", "pass")),
        },
        RUNS,
    )
    python = taken["python"].median
    return [row("retrieval --help", "seconds", taken["help"], goal=0.3, baseline=python)]


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
