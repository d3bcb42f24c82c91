"""The further names of items' files: links, hard links, folders reached by several paths."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Set

from retrieval.columns.types import ColumnType
from retrieval.media.names import uri_to_path
from retrieval.store.reader import Snapshot
from retrieval.store.writer import CollectionWriter
from retrieval.types import MediaInfo, Medium

OTHER_PATHS = "other_paths"
"""Column of the further paths of an item's file: a JSON list of uris."""


def note_other_paths(
    writer: CollectionWriter, others: Mapping[str, Set[str]], seen: Set[str]
) -> None:
    """Store the further paths of files, and make one item of those that were several.

    Args:
        writer: Has published the items.
        others: The further paths that a run met, by the uri of the item.
        seen: All uris that the run met: of these a noted path goes that leads elsewhere now.
    """
    snapshot = writer.snapshot
    if snapshot is None or not _is_text(snapshot):
        return
    noted = _noted(snapshot)
    concerned = others.keys() | (noted.keys() & seen)
    known = snapshot.known_files() if concerned else {}
    for uri in sorted(concerned & known.keys()):
        now = others.get(uri, set())
        writer.remove([known[path].item_id for path in now - {uri} if path in known])
        older = _paths(noted.get(uri))
        if older is None:
            continue  # a column of the user's own
        paths = sorted(now | {path for path in older if _same_file(path, uri)} - {uri})
        text = json.dumps(paths, ensure_ascii=False) if paths else None
        if text != noted.get(uri):
            info = MediaInfo(uri, Medium.IMAGE, 0, 0.0, "", columns={OTHER_PATHS: text})
            writer.update(known[uri].item_id, info, {OTHER_PATHS})


def _is_text(snapshot: Snapshot) -> bool:
    """Whether the column holds text, or there is none yet: else it is the user's own."""
    types = snapshot.user_columns().types()
    return types.get(OTHER_PATHS, ColumnType.STRING) is ColumnType.STRING


def _noted(snapshot: Snapshot) -> dict[str, str]:
    """What is stored of further paths, by uri."""
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


def _paths(noted: str | None) -> list[str] | None:
    """The uris of a stored note; None where it is no note."""
    if noted is None:
        return []
    try:
        paths = json.loads(noted)
    except (ValueError, RecursionError):
        return None
    strings = isinstance(paths, list) and all(isinstance(path, str) for path in paths)
    return paths if strings else None


def _same_file(uri: str, other: str) -> bool:
    try:
        return os.path.samefile(uri_to_path(uri), uri_to_path(other))
    except (OSError, ValueError):
        return False
