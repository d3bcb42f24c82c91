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

from cli import bench_compare, bench_score
from cli.output import Output

if TYPE_CHECKING:
    from benchmarks.outcome import Outcome
    from benchmarks.outputs import Outputs

app = typer.Typer(
    name="bench", help="Measure quality and speed.", no_args_is_help=True, rich_markup_mode=None
)

app.command()(bench_score.score)
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
    from benchmarks.outputs import Outputs
    from benchmarks.suites import SUITES, reads_data
    from retrieval.errors import SourceError

    if data is None and any(map(reads_data, suites)):
        raise SourceError(f"{suites[0]} reads a data set: name its folder with --data DIR")
    outputs = Outputs(out, runs, html, title=f"Results of {', '.join(suites)}")
    _measure(suites, SUITES, scale, folder, outputs, {n: data for n in SUITES if reads_data(n)})
    _print(outputs.outcome, output)


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
    from benchmarks.outputs import Outputs
    from benchmarks.speed import BY_NAME_ONLY, SUBJECTS

    usual = [name for name in SUBJECTS if name not in BY_NAME_ONLY]
    outputs = Outputs(out)
    _measure(what or usual, SUBJECTS, scale, folder, outputs)
    _print(outputs.outcome, output)


def _measure(
    names: list[str],
    modules: dict[str, str],
    scale: float,
    folder: Path | None,
    outputs: Outputs,
    data: dict[str, Path | None] | None = None,
) -> None:
    """Run the modules of some names, one after the other, each in a folder of its own."""
    from benchmarks.outcome import Outcome
    from retrieval.errors import QueryError

    unknown = [name for name in names if name not in modules]
    if unknown:
        raise QueryError(
            f"nothing called {unknown[0]!r} to measure; there is: {', '.join(modules)}"
        )
    outputs.check()
    for name in names:
        with _working_folder(folder, name) as place:
            subject = importlib.import_module(modules[name])
            more = {"data": data[name]} if data and name in data else {}
            found = Outcome.of(
                subject.run(
                    say=lambda line: typer.echo(line, err=True), folder=place, scale=scale, **more
                )
            )
            outputs.add(found)  # while its generated files are there


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
