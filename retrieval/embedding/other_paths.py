"""Stores the further paths of items' files: links, hard links, folders with several paths."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Set

from retrieval.columns.types import ColumnType
from retrieval.files.documents import parse_json
from retrieval.media.names import uri_to_path
from retrieval.store.reader import Snapshot
from retrieval.store.writer import CollectionWriter
from retrieval.types import MediaInfo, Medium

OTHER_PATHS = "other_paths"
"""Column of the further paths of an item's file: a JSON list of uris."""


def store_other_paths(
    writer: CollectionWriter, others: Mapping[str, Set[str]], seen: Set[str]
) -> None:
    """Store the further paths of files, and merge items that are the same file.

    Args:
        writer: Has published the items.
        others: The further paths that a run saw, by the uri of the item.
        seen: All uris that the run saw. Their stored paths are removed if they lead elsewhere now.
    """
    snapshot = writer.snapshot
    if snapshot is None or not _is_text(snapshot):
        return
    stored = _stored(snapshot)
    affected = others.keys() | (stored.keys() & seen)
    known = snapshot.known_files() if affected else {}
    for uri in sorted(affected & known.keys()):
        current = others.get(uri, set())
        writer.remove([known[path].item_id for path in current - {uri} if path in known])
        old_paths = _parse(stored.get(uri))
        if old_paths is None:
            continue  # a value of the user
        paths = sorted(current | {path for path in old_paths if _same_file(path, uri)} - {uri})
        text = json.dumps(paths, ensure_ascii=False) if paths else None
        if text != stored.get(uri):
            info = MediaInfo(uri, Medium.IMAGE, 0, 0.0, "", columns={OTHER_PATHS: text})
            writer.update(known[uri].item_id, info, {OTHER_PATHS})


def _is_text(snapshot: Snapshot) -> bool:
    """Return whether the column is missing or holds text; other types are the user's."""
    types = snapshot.user_columns().types()
    return types.get(OTHER_PATHS, ColumnType.STRING) is ColumnType.STRING


def _stored(snapshot: Snapshot) -> dict[str, str]:
    """Return the stored column by uri."""
    if OTHER_PATHS not in snapshot.user_columns().names:
        return {}
    return {
        uri: str(text)
        for batch in snapshot.iter_items()
        for uri, text in zip(
            batch.column("uri").to_pylist(), batch.column(OTHER_PATHS).to_pylist(), strict=True
        )
        if text is not None
    }


def _parse(stored: str | None) -> list[str] | None:
    """Parse a stored list of uris; return None if it is not such a list."""
    if stored is None:
        return []
    try:
        return parse_json(list[str], stored)
    except ValueError:
        return None


def _same_file(uri: str, other: str) -> bool:
    try:
        return os.path.samefile(uri_to_path(uri), uri_to_path(other))
    except (OSError, ValueError):
        return False
