"""The `retrieval status` command."""

import time
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
    """Print the contents of COLLECTION: items, spaces, index, failures, size, writer."""
    import retrieval
    from retrieval.store.lock import live_writer
    from retrieval.store.writer_progress import read_progress

    counts = retrieval.open(collection).status()
    writer = live_writer(collection)
    progress = read_progress(collection)
    if output is Output.JSON:
        running = None if writer is None else asdict(progress or writer)
        print(json_text(asdict(counts) | {"writer": running}))
        return
    print(escaped(counts.text(), keep="\n"))
    if writer is not None:
        doing = f": {progress.text(time.time())}" if progress else ""
        print(escaped(f"writer      {writer}{doing}"))
