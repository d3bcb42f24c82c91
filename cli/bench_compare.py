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
    a: Annotated[Path, typer.Argument(help="The first document of `bench run --out`.")],
    b: Annotated[Path, typer.Argument(help="The second document.")],
    output: Annotated[Output, typer.Option("--format", help="table or json.")] = Output.TABLE,
) -> None:
    """Show the differences of two runs, and which of them are noise.

    Differences are B - A, with a paired bootstrap interval (95 %) if both documents hold the
    values of each query.
    """
    from benchmarks.results.compare import compare as compare_documents
    from benchmarks.results.document import read_document

    comparison = compare_documents(read_document(a), read_document(b))
    if output is Output.JSON:
        print(json_text(comparison.as_json(), indent=1))
    else:
        _print_table(comparison, a, b)


def _print_table(comparison: Comparison, a: Path, b: Path) -> None:
    console = console_for_tables()
    for letter, path in (("A", a), ("B", b)):
        console.print(f"{letter} {escaped(path)}")
    for row in comparison.machines:
        name, value_a, value_b = map(escaped, row)
        console.print(f"{name} differs: {value_a} and {value_b}")
    table = plain_table()
    for name in ("task", "metric"):
        table.add_column(name, overflow="fold")
    for name in ("A", "B", "B - A", "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", overflow="fold")
    for difference in comparison.rows:
        names = (f"{difference.suite}: {difference.task}", difference.metric)
        numbers = (
            _number(difference.a),
            _number(difference.b),
            _number(difference.difference, "+"),
            _interval(difference),
        )
        verdict = "; ".join((difference.verdict, *difference.notes))
        table.add_row(*map(escaped, names), *numbers, escaped(verdict))
    if comparison.rows:
        console.print(table)
    else:
        console.print("no figure is in both")
    for letter, keys in (("A", comparison.only_in_a), ("B", comparison.only_in_b)):
        for key in keys:
            suite, task, metric = map(escaped, key)
            console.print(f"only in {letter}: {suite}: {task}, {metric}")


def _number(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.4g}"


def _interval(row: Difference) -> str:
    if row.low is None or row.high is None:
        return ""
    return f"{row.low:+.4g} … {row.high:+.4g}"
