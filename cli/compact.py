"""The `retrieval compact` command."""

from typing import Annotated

import typer

from cli.options import CollectionArgument


def compact(
    collection: CollectionArgument,
    grace: Annotated[
        float,
        typer.Option(min=0.0, help="Seconds to keep the files of older generations."),
    ] = 600.0,
) -> None:
    """Merge small shards and delete removed rows, old generations and partial files."""
    import retrieval

    print(retrieval.open(collection).compact(grace_seconds=grace).summary())
