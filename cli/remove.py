"""The `retrieval remove` command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli.options import CollectionArgument
from cli.terminal import escaped


def remove(
    collection: CollectionArgument,
    where: Annotated[
        list[str] | None,
        typer.Option(help="Remove items that match this SQL condition. Repeatable; all must hold."),
    ] = None,
    ids: Annotated[
        list[int] | None, typer.Option("--ids", help="Remove the item with this id; repeatable.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the items without removing them.")
    ] = False,
) -> None:
    """Remove items from COLLECTION. Media files are not touched."""
    import retrieval
    from retrieval.errors import QueryError

    if not where and not ids:
        raise QueryError("nothing is selected: use --where CONDITION or --ids ID")
    opened = retrieval.open(collection)
    if dry_run:
        items = opened.items_to_remove(where=where, ids=ids or ())
        for item_id, uri in items.items():
            print(f"{item_id}\t{escaped(uri)}")
        print(f"{len(items)} items would be removed", file=sys.stderr)
        return
    count = opened.remove(where=where, ids=ids or ())
    print(f"{count} items removed; `retrieval compact` frees their space")
