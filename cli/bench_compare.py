"""`retrieval bench compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import Output, plain_table
from cli.terminal import console_for_tables, escaped, json_text

if TYPE_CHECKING:
    from benchmarks.results.compare import Comparison, Difference


def compare(
    a: Annotated[Path, typer.Argument(help="What `bench run --out` wrote first.")],
    b: Annotated[Path, typer.Argument(help="What it wrote later, or elsewhere.")],
    output: Annotated[Output, typer.Option("--format", help="table or json.")] = Output.TABLE,
) -> None:
    """Show what differs between two runs, and which differences are noise.

    Differences are B - A, with a paired bootstrap interval (95 %) where both documents hold what
    each query scored.
    """
    from benchmarks.results.compare import compare as compared
    from benchmarks.results.document import read_document

    found = compared(read_document(a), read_document(b))
    if output is Output.JSON:
        print(json_text(found.as_json(), indent=1))
    else:
        _print_table(found, a, b)


def _print_table(found: Comparison, a: Path, b: Path) -> None:
    shown = console_for_tables()
    for letter, path in (("A", a), ("B", b)):
        shown.print(f"{letter} {escaped(path)}")
    for told in found.machines:
        name, one, other = map(escaped, told)
        shown.print(f"{name} differs: {one} and {other}")
    table = plain_table()
    for name in ("task", "metric"):
        table.add_column(name, overflow="fold")
    for name in ("A", "B", "B - A", "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", overflow="fold")
    for row in found.rows:
        words = "; ".join((row.verdict, *row.notes))
        numbers = (_number(row.a), _number(row.b), _number(row.difference, "+"), _interval(row))
        names = (f"{row.suite}: {row.task}", row.metric)
        table.add_row(*map(escaped, names), *numbers, escaped(words))
    if found.rows:
        shown.print(table)
    else:
        shown.print("no figure is in both")
    for letter, keys in (("A", found.only_in_a), ("B", found.only_in_b)):
        for key in keys:
            suite, task, metric = map(escaped, key)
            shown.print(f"only in {letter}: {suite}: {task}, {metric}")


def _number(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.4g}"


def _interval(row: Difference) -> str:
    if row.low is None or row.high is None:
        return ""
    return f"{row.low:+.4g} … {row.high:+.4g}"
