"""Times `retrieval --help`."""

from __future__ import annotations

import logging
import subprocess
import sys

from benchmarks.results.outcome import Result
from benchmarks.speed.harness import in_turns, row, timed

logger = logging.getLogger(__name__)

RUNS = 11
HELP = "from cli.main import main; main()"


def run() -> list[Result]:
    """Time several runs, with the start of Python itself as baseline."""
    logger.info("starting %d times", RUNS)
    times = in_turns(
        {
            "help": timed(lambda: _run(sys.executable, "-c", HELP, "--help")),
            "python": timed(lambda: _run(sys.executable, "-c", "pass")),
        },
        RUNS,
    )
    python = times["python"].median
    return [row("retrieval --help", "seconds", times["help"], goal=0.3, baseline=python)]


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
