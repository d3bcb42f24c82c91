"""The `retrieval push` command."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from cli.options import CollectionArgument
from cli.progress import progress_bar
from cli.terminal import escaped


def push(
    collection: CollectionArgument,
    to: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="qdrant://HOST:6333/NAME, qdrants:// for TLS, or qdrant+file:FOLDER#NAME. "
            "QDRANT_API_KEY has the key. The default NAME is that of the folder.",
        ),
    ],
    keep: Annotated[
        int, typer.Option(min=0, help="Number of older generations to keep there.")
    ] = 2,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Replace what another collection, or another model, has pushed as NAME."
        ),
    ] = False,
) -> None:
    """Push the vectors and columns of COLLECTION to a Qdrant.

    `search` takes the address afterwards. A repeated push sends only what is missing or different.
    """
    from retrieval.engines.qdrant.push import push as run

    with _continuable(), progress_bar() as progress:
        report = run(collection, to, keep=keep, replace_other=force, progress=progress)
    changes = [f"{report.sent:,} sent"]
    if report.surplus:
        changes.append(f"{report.surplus:,} deleted")
    print(
        escaped(
            f"generation {report.generation}: {report.points:,} points ({', '.join(changes)}) "
            f"in {report.collection}"
        )
    )
    for name in report.deleted:
        print(escaped(f"deleted the older {name}"))
    print(escaped(report.address))


@contextmanager
def _continuable() -> Iterator[None]:
    """Say on Ctrl-C how to continue."""
    try:
        yield
    except KeyboardInterrupt:
        print(
            "retrieval: interrupted; the alias is unchanged; run the same command again to "
            "continue",
            file=sys.stderr,
        )
        raise SystemExit(130) from None
