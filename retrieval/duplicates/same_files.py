"""Finds items that are further paths of a file that another item has as well."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from retrieval.media.names import container_of, uri_to_path
from retrieval.media.sources.listing import file_identity
from retrieval.media.sources.presence import file_status
from retrieval.store.reader import Snapshot


def alias_item_ids(snapshot: Snapshot) -> NDArray[np.int64]:
    """Return the sorted ids of items whose file belongs to another item of a snapshot."""
    return alias_ids(uris(snapshot))


def uris(snapshot: Snapshot, first_id: int = 0) -> Iterator[tuple[int, str]]:
    """Yield the ids, plus a number, and the uris of all items."""
    for batch in snapshot.iter_items():
        columns = (batch.column(name).to_pylist() for name in ("item_id", "uri"))
        for item_id, uri in zip(*columns, strict=True):
            yield first_id + item_id, uri


def alias_ids(items: Iterable[tuple[int, str]]) -> NDArray[np.int64]:
    """Return the sorted ids of items whose file belongs to another item.

    The oldest item of a file is not included; regular paths take precedence over symbolic links.
    `embed` creates one item per file, but older collections, and several collections together, may
    contain several.

    Args:
        items: Ids and uris.
    """
    first: dict[tuple[int, int, str | None], tuple[bool, int]] = {}
    aliases: list[int] = []
    tar_statuses: dict[str, os.stat_result | None] = {}
    for item_id, uri in items:
        container, member = container_of(uri)
        if member is None:
            status = _status(uri)
        else:
            if container not in tar_statuses:
                tar_statuses[container] = _status(container)
            status = tar_statuses[container]
        key = None if status is None else file_identity(status)
        if key is None:
            continue
        own = (os.path.islink(uri_to_path(container)), item_id)
        other = first.setdefault((*key, member), own)
        if other != own:
            first[(*key, member)] = min(own, other)
            aliases.append(max(own, other)[1])
    return np.sort(np.array(aliases, np.int64))


def _status(uri: str) -> os.stat_result | None:
    try:
        return file_status(uri)
    except (OSError, ValueError):
        return None
