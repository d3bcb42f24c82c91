"""`retrieval compact`."""

from typing import Annotated

import typer

from cli.options import CollectionArgument


def compact(
    collection: CollectionArgument,
    grace: Annotated[
        float,
        typer.Option(min=0.0, help="Seconds for which a generation that is over keeps its files."),
    ] = 600.0,
) -> None:
    """Merge small shards, drop removed rows, old generations and interrupted runs' leftovers."""
    import retrieval

    print(retrieval.open(collection).compact(grace_seconds=grace).summary())
