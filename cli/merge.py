"""The `retrieval merge` command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.progress import progress_bar
from cli.terminal import escaped


def merge(
    collections: Annotated[
        list[Path],
        typer.Argument(
            metavar="COLLECTION...", help="Folders made by `embed`, or quoted patterns of them."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="Folder of the new collection; new or empty."),
    ],
) -> None:
    """Join collections into a new one, without embedding again.

    Items get new ids; OUTPUT-ids.parquet lists old and new ones. Of several versions of a file the
    newest stays. The indexes are not copied: `retrieval index OUTPUT` builds them.
    """
    from retrieval.collection_paths import expand
    from retrieval.store.merge import merge as run

    with progress_bar() as progress:
        report = run(expand(collections), output, progress)
    print(report.summary())
    for notice in report.notices:
        print(f"note: {escaped(notice)}", file=sys.stderr)
