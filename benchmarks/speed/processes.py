"""Runs measurements in separate processes, which report JSON lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec

CELLS = "benchmarks.speed.index_cells"

Report = dict[str, Any]

P = ParamSpec("P")


def reported(path: Path, work: Callable[P, Report], *args: P.args, **kwargs: P.kwargs) -> Report:
    """Return the report of a function, cached in a file by an earlier run."""
    if not path.exists():
        path.write_text(json.dumps(work(*args, **kwargs)))
    report: Report = json.loads(path.read_text())
    return report


def run_cell(
    cell: str | Path, *arguments: str | Path, python: str = sys.executable, **variables: str
) -> Report:
    """Run a cell or script to its end; the last line of its output is the report.

    Args:
        cell: Name in `index_cells.CELLS`, or path of a script.
        arguments: Arguments of the cell.
        python: The interpreter.
        variables: Environment variables that override those of this process.
    """
    done = subprocess.run(
        command(cell, arguments, python),
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, **variables},
    )
    report: Report = json.loads(done.stdout.splitlines()[-1])
    return report


class Served:
    """A cell that keeps running and repeats its work on request.

    Attributes:
        report: The report that it wrote when it was ready.
    """

    def __init__(
        self, cell: str | Path, *arguments: str | Path, python: str = sys.executable
    ) -> None:
        self._cell = cell
        self._process = subprocess.Popen(
            command(cell, arguments, python),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.report = self._line()

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()  # the cell exits at the end of its input

    def repeat(self) -> Report:
        """Let the cell do its work once."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> Report:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._cell} ended with exit code {self._process.wait()}")
        report: Report = json.loads(line)
        return report


def command(cell: str | Path, arguments: tuple[str | Path, ...], python: str) -> list[str]:
    """Build the command line of a cell, or of a script in another environment."""
    # Isolated mode: modules in the folder of the script have names of other packages.
    program = ["-I", str(cell)] if isinstance(cell, Path) else ["-m", CELLS, cell]
    return [python, *program, *map(str, arguments)]
