"""What a command that is interrupted says: what it has published stays."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def kept_on_interrupt(collection: Path) -> Iterator[None]:
    """On Ctrl-C or SIGTERM say what the collection holds, and how to go on.

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
        return f"retrieval: interrupted; nothing is kept in {collection} yet"
    items = "item" if now == 1 else "items"
    return (
        f"retrieval: interrupted; {collection} keeps {now} {items}, {max(0, now - before)} of them "
        "new; run the same command again to go on"
    )


def _items(collection: Path) -> int:
    """Items that the collection has; 0 where there is none, or none that can be read."""
    from retrieval.errors import RetrievalError
    from retrieval.store.reader import Snapshot

    try:
        return len(Snapshot.open(collection).item_ids())
    except RetrievalError:
        return 0
