"""The `retrieval models` command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli.terminal import console_for_tables, escaped, json_text

if TYPE_CHECKING:
    from retrieval.encoders.hub.plan import Download
    from retrieval.encoders.inventory import CatalogueEncoder, MissingEncoder, MissingRepository

app = typer.Typer(
    name="models",
    help="List and fetch models.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

ASK_ABOVE_BYTES = 100_000_000
"""Larger downloads are confirmed first."""


class Format(StrEnum):
    """The formats of `--format`."""

    TABLE = "table"
    JSON = "json"


@app.command("list")
def list_models(
    output: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.TABLE,
) -> None:
    """List the catalogue: media, licence, and local size of each model."""
    from retrieval.encoders.inventory import list_models as offered

    models = offered()
    if output is Format.JSON:
        print(json_text([asdict(model) for model in models]))
    else:
        _print_table(models)


@app.command()
def fetch(
    model: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Catalogue names, open_clip:NAME/TAG, or ORG/NAME on the hub.",
        ),
    ],
    convert: Annotated[
        bool,
        typer.Option(
            "--convert/--no-convert",
            help="Convert or refuse weights that are published only as a pickle.",
        ),
    ] = True,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Download more than 100 MB without asking.")
    ] = False,
) -> None:
    """Download the weights of models into the hub cache and verify their digests.

    Only safetensors, configurations and tokenizers are fetched, never code. Weights that are
    published only as a pickle are converted to safetensors in a process without network access.
    """
    fetch_models(model, convert=convert, yes=yes)


def fetch_models(models: Sequence[str], *, convert: bool = True, yes: bool = False) -> None:
    """Fetch models; stderr shows what will be downloaded and what has arrived."""
    from retrieval.encoders.hub.fetch import fetch_repository
    from retrieval.encoders.hub.plan import plan_downloads

    _print_cautions(models)
    downloads = plan_downloads(models, convert=convert)
    _print_downloads(downloads)
    if not (yes or _confirmed(models, sum(one.missing_bytes for one in downloads))):
        typer.echo("nothing was downloaded", err=True)
        raise typer.Exit(1)
    files = []
    for one in downloads:
        for file in fetch_repository(one):
            files.append(file)
            name = escaped(file.path.name)
            typer.echo(f"{file.repo}: {name} is whole ({size(file.bytes)})", err=True)
    names = ", ".join(models)
    print(f"{names}: {len(files)} files, {size(sum(file.bytes for file in files))}, checked")


def offer_download(encoders: Sequence[MissingEncoder]) -> None:
    """Ask whether to download encoders that a command lacks, and do so after a yes.

    Without a terminal, encoders that the command can do without are left to it.

    Raises:
        WeightsNotAvailableError: There is no terminal to ask on; the message has the command.
    """
    from retrieval.errors import RetrievalError, WeightsNotAvailableError

    if not encoders:
        return
    if not _interactive():
        if all(one.optional for one in encoders):
            return
        models = " ".join(dict.fromkeys(one.model for one in encoders))
        parts = (f"{part.repo}, {_about(part)}" for one in encoders for part in one.needed)
        embed = any(not one.spec.startswith("whisper:") for one in encoders)
        other = ", or use `--model tiny`, which comes with the package" if embed else ""
        raise WeightsNotAvailableError(
            f"{models.replace(' ', ', ')}: not on this machine, needs a download of "
            f"{'; '.join(parts)}; run `retrieval models fetch --yes {models}`{other}"
        )
    typer.echo("These models are not on this machine yet:", err=True)
    for one in encoders:
        for part in one.needed:
            licence = part.licence or "licence unknown"
            typer.echo(f"  {one.model}: {part.repo}, {_about(part)}, {licence}", err=True)
    if not typer.confirm("Download them now?", default=True, err=True):
        return
    for one in encoders:
        try:
            fetch_models([one.spec], yes=True)
        except RetrievalError as error:
            if not one.optional:
                raise
            typer.echo(f"retrieval: {escaped(error)}", err=True)


def size(count: int | None) -> str:
    """Bytes as people read them."""
    if count is None:
        return "-"
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _about(part: MissingRepository) -> str:
    return "size unknown" if part.bytes is None else f"about {size(part.bytes)}"


def _interactive() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _confirmed(models: Sequence[str], missing_bytes: int) -> bool:
    from retrieval.errors import WeightsNotAvailableError

    if missing_bytes <= ASK_ABOVE_BYTES:
        return True
    if not _interactive():
        raise WeightsNotAvailableError(
            f"this downloads {size(missing_bytes)}, and there is no terminal to ask on; run "
            f"`retrieval models fetch {' '.join(models)} --yes`"
        )
    return typer.confirm(f"Download {size(missing_bytes)}?", default=True, err=True)


def _print_cautions(models: Sequence[str]) -> None:
    from retrieval.encoders.catalogue import caution_of, resolve
    from retrieval.errors import WeightsNotAvailableError

    for name in models:
        try:
            specs = resolve(name)
        except WeightsNotAvailableError:
            continue  # a repository that its files will identify
        for spec in specs:
            if caution_of(spec):
                typer.echo(f"{spec}: {caution_of(spec)}", err=True)


def _print_downloads(downloads: Sequence[Download]) -> None:
    for one in downloads:
        missing = one.missing_bytes
        todo = f"{size(missing)} to download" if missing else "all on this machine"
        note = ", a pickle that is converted" if one.pickles else ""
        described = f"{len(one.files)} files, {todo}, licence {one.licence}{note}"
        typer.echo(escaped(f"{one.repo} at {one.commit[:12]}: {described}"), err=True)


def _here(model: CatalogueEncoder) -> str:
    if model.bytes is not None:
        return size(model.bytes)
    nothing = all(part.endswith(": files") for part in model.missing)
    return "not fetched" if nothing else "incomplete"


def _print_table(models: list[CatalogueEncoder]) -> None:
    from rich.table import Table

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
            _here(model),
            "" if again else model.what,
        )
    console.print(table)
