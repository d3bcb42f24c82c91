"""The `retrieval split` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import CollectionArgument
from cli.progress import progress_bar


def split(
    collection: CollectionArgument,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="Folder of the new collections; new or empty."),
    ],
    rows: Annotated[
        int | None,
        typer.Option(
            min=1, help="Maximum number of items of a part, and of its vectors in each space."
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="SQL condition over item columns; repeatable, each makes a part. Items that match "
            "none form one more part."
        ),
    ] = None,
) -> None:
    """Divide COLLECTION into new ones, without embedding again.

    OUTPUT contains NAME-00, NAME-01 and so on, and ids.parquet with old and new item ids.
    COLLECTION stays. The indexes are not copied: `retrieval index` builds them.
    """
    from retrieval.store.split import split as run

    with progress_bar() as progress:
        parts = run(collection, output, rows=rows, where=where or (), progress=progress)
    for part in parts:
        print(part.summary())
