"""The `retrieval folders` commands: collections that `search` made for folders of media."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import Output, plain_table
from cli.terminal import PathCell, cell, console_for_tables, json_text

if TYPE_CHECKING:
    from retrieval.automatic.records import AutomaticCollection

app = typer.Typer(
    name="folders",
    help="List and delete the collections that `search FOLDER` made.",
    no_args_is_help=True,
)


@app.command("list")
def list_folders(
    output: Annotated[Output, typer.Option("--format", help="table or json.")] = Output.TABLE,
) -> None:
    """List the automatic collections in the user's data directory."""
    from retrieval.automatic.records import automatic_collections

    rows = [_row(found) for found in automatic_collections()]
    if output is Output.JSON:
        print(json_text(rows))
        return
    if not rows:
        print("no folder has an automatic collection; `retrieval search FOLDER QUERY` makes one")
        return
    table = plain_table()
    for name in ("items", "MB", "model", "folder"):
        table.add_column(name, justify="right" if name in ("items", "MB") else "left")
    for row in rows:
        missing = "" if row["exists"] else " (missing)"
        size = f"{row['bytes'] / 1e6:.1f}"
        path = PathCell(f"{row['folder']}{missing}")
        table.add_row(f"{row['items']}", size, cell(row["model"]), path)
    console_for_tables().print(table)


@app.command("remove")
def remove_folder(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of media.")],
) -> None:
    """Delete the automatic collection of FOLDER. The media files stay."""
    from cli.terminal import escaped
    from retrieval.automatic.records import find_automatic
    from retrieval.errors import CollectionNotFoundError

    path = folder.expanduser().resolve()
    found = find_automatic(path)
    if found is None:
        raise CollectionNotFoundError(
            f"{path} has no automatic collection; `retrieval folders list` names the folders"
        )
    found.delete()
    print(escaped(f"deleted {found.home}; the files in {path} stay"))


def _row(found: AutomaticCollection) -> dict[str, Any]:
    from retrieval.errors import CollectionError
    from retrieval.store.reader import Snapshot
    from retrieval.store.status import Status

    items, size = 0, 0
    try:
        status = Status.of(Snapshot.open(found.root))
        items, size = sum(status.items.values()), status.bytes
    except CollectionError:
        pass  # never embedded, or damaged
    return {
        "folder": str(found.folder),
        "exists": found.folder.is_dir(),
        "model": found.record.model,
        "items": items,
        "bytes": size,
        "collection": str(found.root),
    }
