"""Items that are one file under several paths: no duplicates of each other."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from retrieval.media.names import container_of, uri_to_path
from retrieval.media.sources.listing import file_identity
from retrieval.media.sources.presence import file_status
from retrieval.store.reader import Snapshot


def further_paths(snapshot: Snapshot) -> NDArray[np.int64]:
    """Sorted ids of the items whose file is another item's as well.

    Of the items of one file the oldest stays out of it, and a link only where all are links.
    `embed` makes one item of them; a collection that was written before can still have several.
    """
    first: dict[tuple[int, int, str | None], tuple[bool, int]] = {}
    further: list[int] = []
    statuses: dict[str, os.stat_result | None] = {}  # of tars
    for batch in snapshot.iter_items():
        columns = (batch.column(name).to_pylist() for name in ("item_id", "uri"))
        for item_id, uri in zip(*columns, strict=True):
            container, member = container_of(uri)
            if member is None:
                status = _status(uri)
            else:
                status = statuses.setdefault(container, _status(container))
            key = None if status is None else file_identity(status)
            if key is None:
                continue
            mine = (os.path.islink(uri_to_path(container)), item_id)
            other = first.setdefault((*key, member), mine)
            if other != mine:
                first[(*key, member)] = min(mine, other)
                further.append(max(mine, other)[1])
    return np.sort(np.array(further, np.int64))


def _status(uri: str) -> os.stat_result | None:
    try:
        return file_status(uri)
    except (OSError, ValueError):
        return None
