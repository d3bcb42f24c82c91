"""`retrieval bench list`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from benchmarks.datasets.dataset import DataSet


def list_(
    data: Annotated[
        Path | None,
        typer.Option(help="Also show which files are present, in the folder of `bench run`."),
    ] = None,
) -> None:
    """Show the quality suites with their data sets, and the speed benchmarks."""
    from benchmarks.speed import SUBJECTS
    from benchmarks.suites import SUITES, data_folder_of

    for name, suite in SUITES.items():
        print(f"run {name:20}{suite.summary}")
        if suite.data_set is not None:
            folder = None if data is None else data_folder_of(data, name)
            for label, text in _description(suite.data_set, folder):
                print(f"    {label:20}{text}")
    for name, benchmark in SUBJECTS.items():
        print(f"speed {name:18}{benchmark.summary}")


def _description(data_set: DataSet, folder: Path | None) -> list[tuple[str, str]]:
    lines = [
        ("task", data_set.task),
        ("size", data_set.size),
        ("licence", data_set.licence),
        ("source", data_set.source),
        ("files", ", ".join(data_set.files)),
    ]
    if data_set.alternatives:
        lines.append(("instead", f"{', '.join(data_set.alternatives)} of the first"))
    if folder is not None:
        missing = data_set.missing(folder)
        present = f"all but {', '.join(missing)}" if missing else "all"
        lines.append(("present", "nothing" if len(missing) == len(data_set.files) else present))
    return lines
