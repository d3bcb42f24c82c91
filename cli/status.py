"""`retrieval status`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from cli.options import CollectionArgument
from cli.output import Output


def status(
    collection: CollectionArgument,
    output: Annotated[Output, typer.Option("--format", help="table or json.")] = Output.TABLE,
) -> None:
    """Show what COLLECTION holds: items, spaces, index, failures, size."""
    import retrieval

    found = retrieval.open(collection).status()
    print(json.dumps(asdict(found)) if output is Output.JSON else found.text())
