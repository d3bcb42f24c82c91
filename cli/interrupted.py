"""Reports what a collection contains after a command was interrupted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def kept_on_interrupt(collection: Path) -> Iterator[None]:
    """Print on Ctrl-C or SIGTERM what the collection contains and how to continue.

    Ctrl-C ends the process with exit code 130.
    """
    before = _items(collection)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        print(_message(collection, before), file=sys.stderr)
        if isinstance(error, KeyboardInterrupt):
            raise SystemExit(130) from error
        raise


def _message(collection: Path, before: int) -> str:
    now = _items(collection)
    if not now:
        return f"retrieval: interrupted; {collection} has no items yet"
    items = "item" if now == 1 else "items"
    return (
        f"retrieval: interrupted; {collection} has {now} {items}, {max(0, now - before)} of them "
        "new; run the same command again to continue"
    )


def _items(collection: Path) -> int:
    """Count the items; 0 if there is no readable collection."""
    from retrieval.errors import RetrievalError
    from retrieval.store.reader import Snapshot

    try:
        return len(Snapshot.open(collection).item_ids())
    except RetrievalError:
        return 0
