"""The `retrieval export` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import CollectionArgument
from cli.progress import progress_bar
from cli.terminal import escaped
from retrieval.targets import ExportLayout


def export(
    collection: CollectionArgument,
    out: Annotated[Path, typer.Argument(help="New folder, with one folder per space in it.")],
    to: Annotated[ExportLayout, typer.Option(help="Layout of the files.")],
    space: Annotated[
        list[str] | None,
        typer.Option(help="Export only this space, into OUT itself; repeatable. Default: all."),
    ] = None,
    approximate: Annotated[
        bool,
        typer.Option(
            "--approximate",
            help="For faiss: write the approximate index instead of a flat one.",
        ),
    ] = False,
) -> None:
    """Export the vectors and metadata of COLLECTION for other tools.

    A row for each segment. `import` takes all but faiss back.
    """
    import retrieval
    from retrieval.exchange.exporting import export as run

    snapshot = retrieval.open(collection).snapshot
    with progress_bar() as progress:
        folders = run(
            snapshot, out, to, spaces=space or (), approximate=approximate, progress=progress
        )
    for folder in folders:
        print(escaped(folder))
