"""`retrieval bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import Output

if TYPE_CHECKING:
    from benchmarks.report import Result

app = typer.Typer(
    name="bench", help="Measure quality and speed.", no_args_is_help=True, rich_markup_mode=None
)

OutOption = Annotated[Path | None, typer.Option(help="Also write the JSON document here.")]
FormatOption = Annotated[Output, typer.Option("--format", help="table or json.")]


@app.command()
def run(
    suite: Annotated[str, typer.Argument(help="demo.")],
    scale: Annotated[
        float,
        typer.Option(min=0.01, max=1.0, help="Share of the full galleries, for a quick look."),
    ] = 1.0,
    folder: Annotated[Path | None, typer.Option(help="Keep data and collections here.")] = None,
    out: OutOption = None,
    output: FormatOption = Output.TABLE,
) -> None:
    """Run a quality suite."""
    from benchmarks.suites import demo
    from retrieval.errors import QueryError

    if suite != demo.SUITE:
        raise QueryError(f"no suite {suite!r}; there is: {demo.SUITE}")
    results = demo.run(say=lambda line: typer.echo(line, err=True), scale=scale, folder=folder)
    _print(results, out, output)


def _print(results: list[Result], out: Path | None, output: Output) -> None:
    from benchmarks.report import as_json, as_markdown

    document = as_json(results)
    if out is not None:
        out.write_text(document + "\n")
    print(document if output is Output.JSON else as_markdown(results))
