"""`retrieval bench`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import bench_compare, bench_list, bench_score
from cli.output import Output
from cli.progress import progress_bar
from cli.terminal import escaped, safe_json

if TYPE_CHECKING:
    from benchmarks.results.outcome import Outcome
    from benchmarks.results.outputs import Outputs
    from benchmarks.suite import RunOptions, Suite

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
            help="As in `embed`; repeatable. Default: the models of --folder, else small."
        ),
    ] = None,
    localizer: Annotated[
        str | None,
        typer.Option(help="For moment suites, as in `search`; compared with similarity."),
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
    from benchmarks.suite import RunOptions
    from benchmarks.suites import find_suite

    options = RunOptions(
        folder=folder or Path(),
        data_folder=data,
        scale=scale,
        models=tuple(model or ()),
        localizer=localizer or "auto",
    )
    chosen = [(name, find_suite(name)) for name in suites]
    for name, suite in chosen:
        _check_options(name, suite, options, with_localizer=localizer is not None)
    outputs = Outputs(out, runs, html, title=f"Results of {', '.join(suites)}")
    _measure(chosen, options, outputs, temporary=folder is None)
    _print(outputs.outcome, output)


@app.command()
def speed(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WHAT...]", help="Names that `bench list` shows; or all that take minutes."
        ),
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(help="For index: your own rows, a .npy file of float16 or float32."),
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option(help="For index: vectors of texts by the same model, at least 100."),
    ] = None,
    scale: ScaleOption = 1.0,
    folder: FolderOption = None,
    out: OutOption = None,
    output: FormatOption = Output.TABLE,
) -> None:
    """Measure speed and memory, compared with other programs where possible."""
    from benchmarks.results.outputs import Outputs
    from benchmarks.speed import SUBJECTS
    from benchmarks.suite import RunOptions
    from retrieval.errors import QueryError

    names = what or [name for name, benchmark in SUBJECTS.items() if benchmark.by_default]
    for name in names:
        if name not in SUBJECTS:
            raise QueryError(f"no speed benchmark called {name!r}; there is: {', '.join(SUBJECTS)}")
    chosen = [(name, SUBJECTS[name]) for name in names]
    if (vectors is None) != (texts is None):
        raise QueryError("--vectors and --texts belong together: give both or neither")
    for name, benchmark in chosen:
        if vectors is not None and not benchmark.takes_vectors:
            raise QueryError(f"{name} generates its data; --vectors and --texts are for index")
    outputs = Outputs(out)
    options = RunOptions(folder=folder or Path(), scale=scale, vectors=vectors, texts=texts)
    _measure(chosen, options, outputs, temporary=folder is None)
    _print(outputs.outcome, output)


def _check_options(name: str, suite: Suite, options: RunOptions, *, with_localizer: bool) -> None:
    """Refuse options that a suite does not take, and a missing data folder."""
    from retrieval.errors import QueryError, SourceError

    if options.models and not suite.takes_models:
        raise QueryError(f"{name} has models of its own; leave --model out")
    if with_localizer and not suite.takes_localizer:
        raise QueryError(f"{name} measures no localizer; leave --localizer out")
    if suite.data_set is not None and options.data_folder is None:
        raise SourceError(f"{name} reads a data set: name its folder with --data DIR")


def _measure(
    suites: Sequence[tuple[str, Suite]], options: RunOptions, outputs: Outputs, *, temporary: bool
) -> None:
    """Run suites one after the other, each in a folder of its own."""
    from benchmarks.runner import run_suite
    from benchmarks.suites import data_folder_of

    outputs.check()
    for name, suite in suites:
        data = options.data_folder and data_folder_of(options.data_folder, name)
        parent = None if temporary else options.folder
        with _working_folder(parent, Path(name).stem) as folder, progress_bar() as progress:
            own = replace(options, folder=folder, data_folder=data, progress=progress)
            # The report reads generated media, which a temporary folder loses.
            outputs.add(run_suite(suite, own))


def _print(outcome: Outcome, output: Output) -> None:
    from benchmarks.results.tables import as_json, as_tables

    if output is Output.JSON:
        print(safe_json(as_json(outcome.results, outcome.queries)))
    else:
        print(escaped(as_tables(outcome.results), keep="\n"))


@contextmanager
def _working_folder(parent: Path | None, name: str) -> Iterator[Path]:
    """Create a permanent folder in `parent`, or a temporary one."""
    if parent is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
    else:
        (parent / name).mkdir(parents=True, exist_ok=True)
        yield parent / name
