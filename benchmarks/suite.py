"""Descriptions of benchmark suites, and the options of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from benchmarks.datasets.dataset import DataSet
from benchmarks.results.outcome import Outcome, Result
from retrieval.errors import SourceError
from retrieval.progress import Progress, no_progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A benchmark suite. Its type selects the runner.

    Attributes:
        name: Name of the suite on the command line and in results.
        summary: One line for `bench list`.
        data_set: The data set that it reads; None for generated data.
        takes_models: Whether it measures any model. Other suites have their own models.
        takes_localizer: Whether it measures any localizer.
    """

    name: str
    summary: str
    data_set: DataSet | None = None
    takes_models: bool = True
    takes_localizer: bool = False


Program = Callable[..., Outcome | Sequence[Result]]
"""Runs a benchmark. Its keyword parameters are any of `runner.OPTIONS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSuite(Suite):
    """A suite that is a function.

    Attributes:
        load: Returns the function. Modules that load heavy libraries are imported here.
    """

    load: Callable[[], Program]
    takes_models: bool = False


def imported(module: str) -> Callable[[], Program]:
    """Return a loader that imports a module and returns its function `run`."""

    def load() -> Program:
        program: Program = import_module(module).run
        return program

    return load


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Options of one run of a suite.

    Attributes:
        folder: Folder of collections and generated files. A second run reuses them.
        data_folder: Folder of the official files, if the suite reads a data set.
        scale: Share of the full size, 0 to 1. Published figures are comparable at 1 only.
        models: Model names as in `EmbedOptions`; empty for those of an existing collection, or
            the default.
        localizer: Name of the localizer, as in `Collection`.
        vectors: File of rows to use instead of generated ones.
        texts: File of text queries to these rows.
        progress: Receives the number of processed files and queries.
    """

    folder: Path
    data_folder: Path | None = None
    scale: float = 1.0
    models: Sequence[str] = ()
    localizer: str = "auto"
    vectors: Path | None = None
    texts: Path | None = None
    progress: Progress = no_progress

    @property
    def data(self) -> Path:
        """Folder of the official files.

        Raises:
            SourceError: The run has none.
        """
        if self.data_folder is None:
            raise SourceError("the suite reads a data set; name the folder of its files")
        return self.data_folder
