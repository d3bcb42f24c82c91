"""`retrieval import`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.interrupted import kept_on_interrupt
from cli.options import Device, DeviceOption
from cli.progress import progress_bar
from cli.terminal import escaped

if TYPE_CHECKING:
    from retrieval.exchange.importing import ImportReport


class Kind(StrEnum):
    """What an item can be; `retrieval.types.Medium` without its imports."""

    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"


def import_(
    source: Annotated[
        Path,
        typer.Argument(help="A folder of clip-retrieval, of Parquet or .npy, or one such file."),
    ],
    collection: Annotated[
        Path, typer.Option("-c", "--collection", help="Folder of the collection; made when new.")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="What made the vectors, as in `embed`; an export says it itself."),
    ] = None,
    medium: Annotated[
        Kind, typer.Option(help="What items are whose name and columns do not say.")
    ] = Kind.IMAGE,
    vector_col: Annotated[
        str | None, typer.Option(help="Parquet column of the vectors; default: the only one.")
    ] = None,
    path_col: Annotated[
        str | None, typer.Option(help="Column of the paths or addresses of the files.")
    ] = None,
    caption_col: Annotated[str | None, typer.Option(help="Column of the captions.")] = None,
    metadata: Annotated[
        Path | None,
        typer.Option(help="Parquet, CSV or JSONL that describes the rows of one .npy file."),
    ] = None,
    digest: Annotated[
        bool,
        typer.Option(
            "--hash/--no-hash",
            help="Read the files that exist for their digest; a further model needs it.",
        ),
    ] = True,
    columns: Annotated[
        list[str] | None,
        typer.Option(help="Keep these columns only; repeatable, or joined by commas."),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(help="Leave these columns out; repeatable, or joined by commas."),
    ] = None,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Make vectors of another tool, or an export, part of COLLECTION.

    Items that are there already stay as they are, so repeating it changes nothing. Rows whose
    vector is NaN, infinite or zero go to failures/. The exit code is 0 where at least one item is
    in the collection in the end, 1 where none is, and 2 for an error that ended the run.
    """
    from retrieval.exchange.importing import import_vectors
    from retrieval.exchange.options import ImportOptions
    from retrieval.types import Medium

    options = ImportOptions(
        model=model,
        medium=Medium(medium.value),
        vector_column=vector_col,
        path_column=path_col,
        caption_column=caption_col,
        metadata=metadata,
        digest=digest,
        columns=_names(columns) if columns else None,
        drop=_names(drop or []),
        device=device.value,
    )
    with kept_on_interrupt(collection), progress_bar() as progress:
        report = import_vectors(source, collection, options, progress)
    _print_report(report, collection)
    if not (sum(report.added.values()) or report.unchanged):
        raise typer.Exit(1)


def _names(given: list[str]) -> tuple[str, ...]:
    return tuple(name.strip() for names in given for name in names.split(",") if name.strip())


def _print_report(report: ImportReport, collection: Path) -> None:
    added = ", ".join(f"{count} {kind}" for kind, count in report.added.items() if count)
    total = sum(report.added.values())
    print(f"{total} items added{f' ({added})' if added else ''} in {report.seconds:.1f} s")
    for count, words in (
        (report.unchanged, "there already, left as they are"),
        (report.failed, f"failed; reasons in {collection / 'failures'}"),
    ):
        if count:
            print(f"{count} {words}")
    for note in report.notes:
        print(escaped(note))
    for failure in report.failures:
        print(f"  {escaped(failure.uri)}: {escaped(failure.reason)}", file=sys.stderr)
