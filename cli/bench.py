"""`retrieval bench`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import bench_compare, bench_list, bench_score
from cli.output import Output
from cli.terminal import escaped, safe_json

if TYPE_CHECKING:
    from benchmarks.results.outcome import Outcome
    from benchmarks.results.outputs import Outputs

app = typer.Typer(
    name="bench", help="Measure quality and speed.", no_args_is_help=True, rich_markup_mode=None
)

app.command("list")(bench_list.list_)
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


@app.command()
def run(
    suites: Annotated[
        list[str],
        typer.Argument(metavar="SUITE...", help="Names that `bench list` shows, or a .py file."),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the official files, or one that has them in a folder per suite."
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="As in `embed`; repeatable. Default: what is kept in --folder, else small."
        ),
    ] = None,
    localizer: Annotated[
        str | None,
        typer.Option(help="Of suites of moments, as in `search`; similarity stands beside it."),
    ] = None,
    scale: ScaleOption = 1.0,
    folder: FolderOption = None,
    out: OutOption = None,
    runs: RunsOption = None,
    html: HtmlOption = None,
    output: FormatOption = Output.TABLE,
) -> None:
    """Run quality suites."""
    from benchmarks.results.outputs import Outputs
    from benchmarks.suites import SUITES, is_file

    modules = SUITES | {name: name for name in suites if is_file(name)}
    options = {name: _suite_options(name, data, model or [], localizer) for name in suites}
    outputs = Outputs(out, runs, html, title=f"Results of {', '.join(suites)}")
    _measure(suites, modules, scale, folder, outputs, options)
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
    from benchmarks.results.outputs import Outputs
    from benchmarks.speed import BY_NAME_ONLY, SUBJECTS

    usual = [name for name in SUBJECTS if name not in BY_NAME_ONLY]
    outputs = Outputs(out)
    _measure(what or usual, SUBJECTS, scale, folder, outputs)
    _print(outputs.outcome, output)


def _suite_options(
    name: str, data: Path | None, models: list[str], localizer: str | None
) -> dict[str, object]:
    """What `run` of a suite is told beyond its folder and scale."""
    from benchmarks.suites import SUITES, folder_of, reads_data, takes_localizer, takes_models
    from retrieval.errors import QueryError, SourceError

    if models and name in SUITES and not takes_models(name):
        raise QueryError(f"{name} has models of its own; leave --model out")
    options: dict[str, object] = {"models": tuple(models)} if takes_models(name) else {}
    if localizer is not None and (name in SUITES or takes_models(name)):
        if not takes_localizer(name):
            raise QueryError(f"{name} asks for no moments of your videos; leave --localizer out")
        options["localizer"] = localizer
    if reads_data(name):
        if data is None:
            raise SourceError(f"{name} reads a data set: name its folder with --data DIR")
        options["data"] = folder_of(data, name)
    return options


def _measure(
    names: list[str],
    modules: dict[str, str],
    scale: float,
    folder: Path | None,
    outputs: Outputs,
    options: Mapping[str, Mapping[str, object]] | None = None,
) -> None:
    """Run the modules of some names, one after the other, each in a folder of its own."""
    from benchmarks.results.outcome import Outcome
    from benchmarks.suites import load_module
    from retrieval.errors import QueryError

    unknown = [name for name in names if name not in modules]
    if unknown:
        raise QueryError(
            f"nothing called {unknown[0]!r} to measure; there is: {', '.join(modules)}"
        )
    outputs.check()
    for name in names:
        with _working_folder(folder, Path(name).stem) as place:
            subject = load_module(modules[name])
            more = (options or {}).get(name, {})
            found = Outcome.of(
                subject.run(
                    say=lambda line: typer.echo(line, err=True), folder=place, scale=scale, **more
                )
            )
            outputs.add(found)  # while its generated files are there


def _print(outcome: Outcome, output: Output) -> None:
    from benchmarks.results.tables import as_json, as_tables

    if output is Output.JSON:
        print(safe_json(as_json(outcome.results, outcome.queries)))
    else:
        print(escaped(as_tables(outcome.results), keep="\n"))


@contextmanager
def _working_folder(folder: Path | None, name: str) -> Iterator[Path]:
    """A folder to keep, or one that goes away."""
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
    else:
        (folder / name).mkdir(parents=True, exist_ok=True)
        yield folder / name
