"""Finds the collection of a moved folder, and gives its items their new paths."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from itertools import islice
from pathlib import Path

from retrieval.automatic.records import AutomaticCollection, automatic_collections
from retrieval.errors import CollectionError
from retrieval.media.names import container_of, path_to_uri, uri_to_path
from retrieval.store.reader import Snapshot
from retrieval.store.writer import CollectionWriter
from retrieval.types import KnownFile, MediaInfo, Medium

logger = logging.getLogger(__name__)

SAMPLED_ITEMS = 20
"""Number of items that are compared with the files of a folder."""


def find_moved(folder: Path) -> AutomaticCollection | None:
    """Return the collection of a folder that no longer exists and whose files are here.

    At least half of some items must be files of the same relative path, size and time.
    """
    for candidate in automatic_collections():
        if not os.path.lexists(candidate.folder) and _has_files_of(folder, candidate):
            return candidate
    return None


def _has_files_of(folder: Path, candidate: AutomaticCollection) -> bool:
    try:
        known = Snapshot.open(candidate.root).known_files()
    except CollectionError:
        return False
    prefix = _prefix(candidate.record.folder)
    below = {uri: file for uri, file in known.items() if uri.startswith(prefix)}
    step = max(1, len(below) // SAMPLED_ITEMS)
    sample = list(islice(below.items(), 0, None, step))
    same = sum(_is_same(folder, uri.removeprefix(prefix), file) for uri, file in sample)
    return bool(sample) and 2 * same >= len(sample)


def _is_same(folder: Path, relative_uri: str, file: KnownFile) -> bool:
    relative, member = container_of(relative_uri)
    try:
        status = os.stat(folder / uri_to_path(relative))
    except (OSError, ValueError):
        return False
    return member is not None or (status.st_size, status.st_mtime) == (file.bytes, file.mtime)


def relocate(collection: AutomaticCollection, folder: Path) -> AutomaticCollection:
    """Give the items of a collection the paths that they have in another folder.

    No file is read. `embed` then compares sizes and times as usual.

    Args:
        collection: The collection.
        folder: Real path to which its media folder was moved.

    Raises:
        CollectionLockedError: Another process writes to the collection.
        StorageError: The disk refused.
    """
    old, new = _prefix(collection.record.folder), _prefix(path_to_uri(str(folder)))
    logger.info("%s was moved to %s; its collection is kept", collection.folder, folder)
    if collection.is_published:
        with CollectionWriter.open(collection.root) as writer:
            assert writer.snapshot is not None
            for uri, file in writer.snapshot.known_files().items():
                if uri.startswith(old):
                    moved = new + uri.removeprefix(old)
                    info = MediaInfo(moved, Medium.IMAGE, 0, 0.0, "")
                    writer.update(file.item_id, info, {"uri"})
            for uri in writer.snapshot.failures():
                if uri.startswith(old):
                    writer.resolve_failure(uri)
    record = replace(collection.record, folder=path_to_uri(str(folder)), mounts=())
    return collection.with_record(record)


def _prefix(uri: str) -> str:
    return uri.rstrip("/") + "/"
