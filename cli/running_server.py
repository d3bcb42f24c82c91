"""Uses a running server for a search, which then loads no models and no index."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def ask_server(
    collection: Path, query: str | None, like: str | None, options: Mapping[str, object]
) -> dict[str, Any] | None:
    """Return the answer of a running server of the same collection and generation.

    None if there is none, if not exactly one of query and item is given, or if the query names a
    file: the server reads no files for clients.

    Args:
        collection: The folder.
        query: The text; None with `like`.
        like: The item to search like; None with `query`.
        options: Further parameters of `/api/search`.
    """
    if (query is None) == (like is None):
        return None
    if query is not None and ("@" in query or not query.strip()):
        return None
    from retrieval.serving.local_client import ask

    subject = {"q": query} if query is not None else {"like": str(like)}
    given = {
        name: [str(each) for each in value] if isinstance(value, list) else str(value)
        for name, value in options.items()
        if value is not None
    }
    return ask(collection.expanduser(), {**subject, **given})
