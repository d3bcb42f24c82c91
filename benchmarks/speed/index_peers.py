"""Runs other programs for the benchmark `index`, each with a Python that has its package."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.speed.processes import Report, Served, reported, run_cell

logger = logging.getLogger(__name__)

SCRIPT: Final = Path(__file__).with_name("with_peers.py")

AS_INSTALLED = {"OPENBLAS_CORETYPE": ""}
"""Other programs use the default kernels of OpenBLAS, like their users. The engine selects better
ones (`indexes`)."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another program that builds and searches an index.

    Attributes:
        name: Name in results.
        package: Its Python package, and its name in `with_peers.py`.
        variable: Environment variable with the Python of an environment that has the package.
            Without it, this Python is used.
    """

    name: str
    package: str
    variable: str

    @property
    def python(self) -> str:
        """The interpreter."""
        return os.environ.get(self.variable) or sys.executable

    def problem(self) -> str | None:
        """Say why the program cannot run, or None if it can."""
        try:
            done = subprocess.run(
                [self.python, "-I", "-c", f"import {self.package}"], capture_output=True
            )
        except OSError as error:
            return f"{self.variable}: {error.strerror}"
        if done.returncode == 0:
            return None
        if self.variable in os.environ:
            return f"the Python of {self.variable} cannot import {self.package}"
        return f"needs {self.variable}, see {SCRIPT.name}"

    def build(self, folder: Path) -> Report:
        """Build its index on the rows of a folder unless it exists."""
        logger.info("building with %s", self.name)
        return reported(
            folder / f"{self.package}.json", run_cell, SCRIPT, self.package, "build", folder,
            python=self.python, **AS_INSTALLED,
        )  # fmt: skip

    def serve(self, folder: Path) -> Served:
        """Open its index, tuned."""
        return Served(SCRIPT, self.package, "serve", folder, python=self.python)


PEERS: Final = (
    Peer("LanceDB", "lancedb", "RETRIEVAL_LANCEDB_PYTHON"),
    Peer("hnswlib", "hnswlib", "RETRIEVAL_HNSWLIB_PYTHON"),
    Peer("usearch", "usearch", "RETRIEVAL_USEARCH_PYTHON"),
)
