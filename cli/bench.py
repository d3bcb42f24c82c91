"""`retrieval bench`."""

from __future__ import annotations

import ast
import importlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import bench_compare
from cli.bench_score import score
from cli.output import Output

if TYPE_CHECKING:
    from benchmarks.outcome import Outcome

app = typer.Typer(
    name="bench", help="Measure quality and speed.", no_args_is_help=True, rich_markup_mode=None
)

app.command()(bench_compare.compare)

OutOption = Annotated[Path | None, typer.Option(help="Also write the JSON document here.")]
RunsOption = Annotated[
    Path | None,
    typer.Option(help="Folder for the answers: TREC runs, and moments in official formats."),
]
HtmlOption = Annotated[
    Path | None, typer.Option(help="Also write a page with curves, and the best and worst queries.")
]
FormatOption = Annotated[Output, typer.Option("--format", help="table or json.")]


ScaleOption = Annotated[
    float, typer.Option(min=0.001, max=1.0, help="Share of the full size, for a quick look.")
]
FolderOption = Annotated[Path | None, typer.Option(help="Keep data and collections here.")]


app.command()(score)


@app.command("list")
def list_() -> None:
    """Show the suites and the subjects of speed."""
    from benchmarks.speed import SUBJECTS
    from benchmarks.suites import SUITES

    for name, module in SUITES.items():
        print(f"run {name:14}{_first_line(module)}")
    for name, module in SUBJECTS.items():
        print(f"speed {name:12}{_first_line(module)}")


@app.command()
def run(
    suites: Annotated[
        list[str], typer.Argument(metavar="SUITE...", help="Names that `bench list` shows.")
    ],
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data set that a suite such as esc10 reads.")
    ] = None,
    scale: ScaleOption = 1.0,
    folder: FolderOption = None,
    out: OutOption = None,
    runs: RunsOption = None,
    html: HtmlOption = None,
    output: FormatOption = Output.TABLE,
) -> None:
    """Run quality suites."""
    from benchmarks.suites import READS_DATA, SUITES
    from retrieval.errors import SourceError

    if data is None and READS_DATA.intersection(suites):
        raise SourceError(f"{suites[0]} reads a data set: name its folder with --data DIR")
    _check_outputs(out, html)
    outcome = _measure(suites, SUITES, scale, folder, out, dict.fromkeys(READS_DATA, data), runs)
    if html is not None:
        from benchmarks.html_page import write_html
        from benchmarks.report import machine

        write_html(html, outcome, machine(), title=f"Results of {', '.join(suites)}")
    _print(outcome, output)


@app.command()
def speed(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WHAT...]", help="Names that `bench list` shows; or all that take minutes."
        ),
    ] = None,
    scale: ScaleOption = 1.0,
    folder: FolderOption = None,
    out: OutOption = None,
    output: FormatOption = Output.TABLE,
) -> None:
    """Measure speed and memory, each beside what it is compared with."""
    from benchmarks.speed import BY_NAME_ONLY, SUBJECTS

    usual = [name for name in SUBJECTS if name not in BY_NAME_ONLY]
    _check_outputs(out)
    _print(_measure(what or usual, SUBJECTS, scale, folder, out), output)


def _measure(
    names: list[str],
    modules: dict[str, str],
    scale: float,
    folder: Path | None,
    out: Path | None,
    data: dict[str, Path | None] | None = None,
    runs: Path | None = None,
) -> Outcome:
    """Run the modules of some names, one after the other, each in a folder of its own.

    What is done is written each time, so that a later name that fails loses nothing.
    """
    from benchmarks.outcome import Outcome
    from benchmarks.report import as_json
    from benchmarks.runs import write_runs, write_text
    from retrieval.errors import QueryError

    unknown = [name for name in names if name not in modules]
    if unknown:
        raise QueryError(
            f"nothing called {unknown[0]!r} to measure; there is: {', '.join(modules)}"
        )
    outcome = Outcome([])
    for name in names:
        with _working_folder(folder, name) as place:
            subject = importlib.import_module(modules[name])
            more = {"data": data[name]} if data and name in data else {}
            found = Outcome.of(
                subject.run(
                    say=lambda line: typer.echo(line, err=True), folder=place, scale=scale, **more
                )
            )
            outcome = outcome.joined(found)
            if out is not None:
                write_text(out, as_json(outcome.results, outcome.queries) + "\n")
            if runs is not None:
                write_runs(runs, found.answers)
    return outcome


def _check_outputs(*paths: Path | None) -> None:
    """Refuse what could not be written in the end, before hours of work."""
    from retrieval.store.publish import check_output

    for path in paths:
        if path is not None:
            check_output(path)


def _print(outcome: Outcome, output: Output) -> None:
    from benchmarks.report import as_json, as_tables

    if output is Output.JSON:
        print(as_json(outcome.results, outcome.queries))
    else:
        print(as_tables(outcome.results))


@contextmanager
def _working_folder(folder: Path | None, name: str) -> Iterator[Path]:
    """A folder to keep, or one that goes away."""
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
    else:
        (folder / name).mkdir(parents=True, exist_ok=True)
        yield folder / name


def _first_line(module: str) -> str:
    """What a benchmark measures, as the first line of its module says after the colon.

    The module is read and not imported: most of them import torch, which takes seconds.
    """
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None  # noqa: PT018 - the tables name modules
    docstring = ast.get_docstring(ast.parse(Path(spec.origin).read_text("utf-8")))
    return (docstring or "").partition("\n")[0].partition(": ")[2]
