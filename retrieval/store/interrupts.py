"""Keeps complete items when a user ends a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from retrieval.store.writer import CollectionWriter


@contextmanager
def publish_on_interrupt(writer: CollectionWriter) -> Iterator[None]:
    """Publish complete items when Ctrl-C or SIGTERM ends the process."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        writer.publish()
        raise
