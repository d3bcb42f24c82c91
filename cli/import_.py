"""The `retrieval import` command."""

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
    """Modalities of items, as `retrieval.types.Medium` but without its imports."""

    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"


def import_(
    source: Annotated[
        Path,
        typer.Argument(help="Folder of clip-retrieval, Parquet or .npy files, or one such file."),
    ],
    collection: Annotated[
        Path,
        typer.Option("-c", "--collection", help="Collection folder; created if missing."),
    ],
    model: Annotated[
        str | None,
        typer.Option(help="Model of the vectors, as in `embed`. Exports name it themselves."),
    ] = None,
    medium: Annotated[
        Kind, typer.Option(help="Modality of items whose name and columns do not tell.")
    ] = Kind.IMAGE,
    vector_col: Annotated[
        str | None, typer.Option(help="Parquet column with the vectors. Default: the only one.")
    ] = None,
    path_col: Annotated[
        str | None, typer.Option(help="Column with the paths or addresses of the files.")
    ] = None,
    caption_col: Annotated[str | None, typer.Option(help="Column with the captions.")] = None,
    metadata: Annotated[
        Path | None,
        typer.Option(help="Parquet, CSV or JSONL file with the metadata of one .npy file."),
    ] = None,
    digest: Annotated[
        bool,
        typer.Option(
            "--hash/--no-hash",
            help="Compute the digests of existing files. Adding a model later needs them.",
        ),
    ] = True,
    columns: Annotated[
        list[str] | None,
        typer.Option(help="Keep only these columns; repeatable, or separated by commas."),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(help="Drop these columns; repeatable, or separated by commas."),
    ] = None,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Import vectors of another tool, or an export, into COLLECTION.

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
