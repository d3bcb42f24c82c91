"""The `retrieval status` command."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli.options import CollectionArgument
from cli.output import Output
from cli.terminal import escaped, json_text


def status(
    collection: CollectionArgument,
    output: Annotated[Output, typer.Option("--format", help="table or json.")] = Output.TABLE,
) -> None:
    """Print the contents of COLLECTION: items, spaces, index, failures, size."""
    import retrieval

    counts = retrieval.open(collection).status()
    print(json_text(asdict(counts)) if output is Output.JSON else escaped(counts.text(), keep="\n"))
