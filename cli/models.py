"""`retrieval models`."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from retrieval.encoders.inventory import OfferedModel

app = typer.Typer(
    name="models",
    help="The models of the catalogue, and their weights on this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Format(StrEnum):
    """The formats of `--format`."""

    TABLE = "table"
    JSON = "json"


@app.command("list")
def list_models(
    output: Annotated[Format, typer.Option("--format", help="How to print them.")] = Format.TABLE,
) -> None:
    """List the catalogue: what each name embeds, its licence, and its size on this machine."""
    from retrieval.encoders.inventory import list_models as offered

    models = offered()
    if output is Format.JSON:
        print(json.dumps([asdict(model) for model in models], ensure_ascii=False))
    else:
        _print_table(models)


@app.command()
def fetch(
    model: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...", help="Names of the catalogue, or as open_clip:NAME/TAG."
        ),
    ],
) -> None:
    """Download the weights of models into the hub's cache, and check their digests.

    Only safetensors, configurations and tokenizers are fetched, never a pickle and never code.
    """
    from retrieval.encoders.catalogue import caution_of, resolve
    from retrieval.encoders.fetch import FetchedFile
    from retrieval.encoders.fetch import fetch as run

    def say(file: FetchedFile) -> None:
        typer.echo(f"{file.repo}: {file.path.name} is whole ({size(file.bytes)})", err=True)

    for name in model:
        for spec in resolve(name):
            if caution_of(spec):
                typer.echo(f"{spec}: {caution_of(spec)}", err=True)
        files = run(name, on_file=say)
        print(f"{name}: {len(files)} files, {size(sum(file.bytes for file in files))}, checked")


def size(count: int | None) -> str:
    """Bytes as people read them."""
    if count is None:
        return "-"
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _print_table(models: list[OfferedModel]) -> None:
    from rich.table import Table

    from cli.output import console_for_tables

    console = console_for_tables()
    table = Table(box=None, pad_edge=False)
    for column in ("name", "embeds", "weights", "licence", "here", "what"):
        table.add_column(column, overflow="fold", justify="right" if column == "here" else "left")
    before = ""
    for model in models:
        again = model.name == before  # a further encoder of the same entry
        before = model.name
        table.add_row(
            "" if again else model.name,
            ", ".join(model.media),
            model.spec,
            model.licence,
            "not fetched" if model.bytes is None else size(model.bytes),
            "" if again else model.what,
        )
    console.print(table)
