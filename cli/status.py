"""The `retrieval status` command."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import Output
from cli.several import CollectionsArgument, SkipDamagedOption
from cli.terminal import escaped, json_text

if TYPE_CHECKING:
    from retrieval.store.status import Status


def status(
    collections: CollectionsArgument,
    output: Annotated[Output, typer.Option("--format", help="table or json.")] = Output.TABLE,
    skip_damaged: SkipDamagedOption = False,
) -> None:
    """Print the contents of each COLLECTION: items, spaces, index, failures, size, writer.

    The sum of several collections follows.
    """
    import retrieval

    if len(collections) == 1:
        counts = retrieval.open(collections[0]).status()
        if output is Output.JSON:
            print(json_text(_document(collections[0], counts)))
        else:
            _print(collections[0], counts)
        return
    statuses = retrieval.open(collections, skip_damaged=skip_damaged).status()
    if output is Output.JSON:
        members = [
            {"collection": name, **_document(Path(name), each)} for name, each in statuses.items()
        ]
        print(json_text({"collections": members, "total": _total(statuses)}))
        return
    for name, counts in statuses.items():
        print(escaped(name))
        _print(Path(name), counts)
        print()
    total = _total(statuses)
    print(
        f"{len(statuses)} collections, {total['items']} items, {total['removed']} removed, "
        f"{total['failures']} failures, {total['bytes'] / 1e6:.1f} MB on disk"
    )


def _document(collection: Path, counts: Status) -> dict[str, Any]:
    """Return the JSON object of a collection."""
    from retrieval.store.lock import live_writer
    from retrieval.store.writer_progress import read_progress

    writer = live_writer(collection)
    running = None if writer is None else asdict(read_progress(collection) or writer)
    return asdict(counts) | {"writer": running}


def _print(collection: Path, counts: Status) -> None:
    from retrieval.store.lock import live_writer
    from retrieval.store.writer_progress import read_progress

    print(escaped(counts.text(), keep="\n"))
    writer, progress = live_writer(collection), read_progress(collection)
    if writer is not None:
        doing = f": {progress.text(time.time())}" if progress else ""
        print(escaped(f"writer      {writer}{doing}"))


def _total(statuses: Mapping[str, Status]) -> dict[str, int]:
    """Add up the counts of several collections."""
    return {
        "items": sum(sum(each.items.values()) for each in statuses.values()),
        **{
            name: sum(getattr(each, name) for each in statuses.values())
            for name in ("removed", "failures", "bytes")
        },
    }
