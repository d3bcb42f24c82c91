"""`retrieval remove`."""

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
        typer.Option(
            help="Remove the items that this SQL condition matches; repeatable, all must hold."
        ),
    ] = None,
    ids: Annotated[
        list[int] | None, typer.Option("--ids", help="Remove the item of this id; repeatable.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be removed.")
    ] = False,
) -> None:
    """Take items out of COLLECTION; the media files stay where they are."""
    import retrieval
    from retrieval.errors import QueryError

    if not where and not ids:
        raise QueryError("say what to remove: --where CONDITION or --ids ID")
    opened = retrieval.open(collection)
    if dry_run:
        found = opened.items_to_remove(where=where, ids=ids or ())
        for item_id, uri in found.items():
            print(f"{item_id}\t{escaped(uri)}")
        print(f"{len(found)} items would be removed; nothing is removed yet", file=sys.stderr)
        return
    count = opened.remove(where=where, ids=ids or ())
    print(f"{count} items removed; `retrieval compact` frees their space")
