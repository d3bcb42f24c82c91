"""The `retrieval status` command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

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
    """Print the contents of each COLLECTION: items, spaces, index, failures, size.

    The sum of several collections follows.
    """
    import retrieval

    if len(collections) == 1:
        counts = retrieval.open(collections[0]).status()
        text = json_text(asdict(counts)) if output is Output.JSON else _text(counts)
        print(text)
        return
    statuses = retrieval.open(collections, skip_damaged=skip_damaged).status()
    if output is Output.JSON:
        members = [{"collection": name, **asdict(each)} for name, each in statuses.items()]
        print(json_text({"collections": members, "total": _total(statuses)}))
        return
    for name, counts in statuses.items():
        print(f"{escaped(name)}\n{_text(counts)}\n")
    total = _total(statuses)
    print(
        f"{len(statuses)} collections, {total['items']} items, {total['removed']} removed, "
        f"{total['failures']} failures, {total['bytes'] / 1e6:.1f} MB on disk"
    )


def _text(counts: Status) -> str:
    return escaped(counts.text(), keep="\n")


def _total(statuses: Mapping[str, Status]) -> dict[str, int]:
    """Add up the counts of several collections."""
    return {
        "items": sum(sum(each.items.values()) for each in statuses.values()),
        **{
            name: sum(getattr(each, name) for each in statuses.values())
            for name in ("removed", "failures", "bytes")
        },
    }
