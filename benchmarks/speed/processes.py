"""Measurements in processes of their own, which answer in JSON lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec

CELLS = "benchmarks.speed.index_cells"

Report = dict[str, Any]

P = ParamSpec("P")


def reported(path: Path, work: Callable[P, Report], *args: P.args, **more: P.kwargs) -> Report:
    """What some work reported, kept in a file: work that is done is not done again."""
    if not path.exists():
        path.write_text(json.dumps(work(*args, **more)))
    report: Report = json.loads(path.read_text())
    return report


def run_cell(
    cell: str | Path, *more: str | Path, python: str = sys.executable, **variables: str
) -> Report:
    """Run one of the cells, or a script, to its end; its last line is the report.

    Args:
        cell: Its name in `CELLS`, or the script's path.
        more: Its arguments.
        python: The interpreter.
        variables: Of its environment, in place of this process's.
    """
    done = subprocess.run(
        command(cell, more, python),
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, **variables},
    )
    report: Report = json.loads(done.stdout.splitlines()[-1])
    return report


class Served:
    """A cell that stays: it reports once it is ready, and again whenever it is asked.

    Attributes:
        report: What it said when it was ready.
    """

    def __init__(self, cell: str | Path, *more: str | Path, python: str = sys.executable) -> None:
        self._cell = cell
        self._process = subprocess.Popen(
            command(cell, more, python),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.report = self._line()

    def __enter__(self) -> Served:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.communicate()  # the end of its input ends it

    def ask(self) -> Report:
        """Have it do its work once."""
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


def command(cell: str | Path, more: tuple[str | Path, ...], python: str) -> list[str]:
    """The command line of a cell, or of a script in another environment."""
    # Isolated, a script does not find the modules beside it, which are called like others'.
    program = ["-I", str(cell)] if isinstance(cell, Path) else ["-m", CELLS, cell]
    return [python, *program, *map(str, more)]
