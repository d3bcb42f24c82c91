"""`retrieval bench compare`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import Output

if TYPE_CHECKING:
    from benchmarks.compare import Comparison, Difference


def compare(
    a: Annotated[Path, typer.Argument(help="What `bench run --out` wrote first.")],
    b: Annotated[Path, typer.Argument(help="What it wrote later, or elsewhere.")],
    output: Annotated[Output, typer.Option("--format", help="table or json.")] = Output.TABLE,
) -> None:
    """Show what differs between two runs, and which differences are noise.

    Differences are B - A, with a paired bootstrap interval (95 %) where both documents hold what
    each query scored.
    """
    from benchmarks.compare import compare as compared
    from benchmarks.document import read_document

    found = compared(read_document(a), read_document(b))
    if output is Output.JSON:
        print(json.dumps(found.as_json(), indent=1))
    else:
        _print_table(found, a, b)


def _print_table(found: Comparison, a: Path, b: Path) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from cli.output import WIDTH_OF_A_PIPE

    console = Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE, highlight=False)
    console.print(Text(f"A {a}\nB {b}"))
    for name, one, other in found.machines:
        console.print(Text(f"{name} differs: {one} and {other}"))
    table = Table(box=None, pad_edge=False)
    table.add_column("task", overflow="fold", ratio=3)
    table.add_column("metric", overflow="fold", ratio=2)
    for name in ("A", "B", "B - A", "95 % interval"):
        table.add_column(name, justify="right")
    table.add_column("verdict", overflow="fold", ratio=3)
    for row in found.rows:
        words = "; ".join((row.verdict, *row.notes))
        numbers = (_number(row.a), _number(row.b), _number(row.difference, "+"), _interval(row))
        table.add_row(Text(f"{row.suite}: {row.task}"), Text(row.metric), *numbers, Text(words))
    if found.rows:
        console.print(table)
    else:
        console.print("no figure is in both")
    for letter, keys in (("A", found.only_in_a), ("B", found.only_in_b)):
        for suite, task, metric in keys:
            console.print(Text(f"only in {letter}: {suite}: {task}, {metric}"))


def _number(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.4g}"


def _interval(row: Difference) -> str:
    if row.low is None or row.high is None:
        return ""
    return f"{row.low:+.4g} … {row.high:+.4g}"
