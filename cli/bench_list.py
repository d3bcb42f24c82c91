"""`retrieval bench list`."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from benchmarks.datasets.dataset import DataSet


def list_(
    data: Annotated[
        Path | None,
        typer.Option(help="Also say what of each data set is there, as `bench run --data` reads."),
    ] = None,
) -> None:
    """Show the suites with what they need, and the subjects of speed."""
    from benchmarks.speed import SUBJECTS
    from benchmarks.suites import SUITES, data_set, folder_of

    for name, module in SUITES.items():
        print(f"run {name:20}{_first_line(module)}")
        needed = data_set(name)
        if needed is not None:
            for what, text in _described(needed, None if data is None else folder_of(data, name)):
                print(f"    {what:20}{text}")
    for name, module in SUBJECTS.items():
        print(f"speed {name:18}{_first_line(module)}")


def _described(needed: DataSet, data: Path | None) -> list[tuple[str, str]]:
    lines = [
        ("task", needed.task),
        ("size", needed.size),
        ("licence", needed.licence),
        ("source", needed.source),
        ("files", ", ".join(needed.files)),
    ]
    if needed.instead:
        lines.append(("instead", f"{', '.join(needed.instead)} of the first"))
    if data is not None:
        missing = needed.missing(data)
        lines.append(("present", f"all but {', '.join(missing)}" if missing else "all"))
        if len(missing) == len(needed.files):
            lines[-1] = ("present", "nothing")
    return lines


def _first_line(module: str) -> str:
    """What a benchmark measures, as the first line of its module says after the colon.

    The module is read and not imported: many of them import torch, which takes seconds.
    """
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None  # noqa: PT018 - the tables name modules
    docstring = ast.get_docstring(ast.parse(Path(spec.origin).read_text("utf-8")))
    return (docstring or "").partition("\n")[0].partition(": ")[2]
