"""`retrieval remove`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import CollectionArgument


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
) -> None:
    """Take items out of COLLECTION; the media files stay where they are."""
    import retrieval
    from retrieval.errors import QueryError

    if not where and not ids:
        raise QueryError("say what to remove: --where CONDITION or --ids ID")
    count = retrieval.open(collection).remove(where=where, ids=ids or ())
    print(f"{count} items removed; `retrieval compact` frees their space")
