"""Finds items that are further paths of a file that another item has as well."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.media.names import container_of, uri_to_path
from retrieval.media.sources.listing import file_identity
from retrieval.media.sources.presence import file_status
from retrieval.store.blocks import id_array, isin_sorted
from retrieval.store.reader import Snapshot

_FileKey = tuple[int, int, str | None]
"""Device and number of a file, and the name of the member of an archive."""


def alias_item_ids(snapshot: Snapshot) -> NDArray[np.int64]:
    """Return the sorted ids of items whose file belongs to another item of a snapshot."""
    return alias_ids([(0, snapshot)])


def alias_ids(numbered: Sequence[tuple[int, Snapshot]]) -> NDArray[np.int64]:
    """Return the sorted ids of items whose file belongs to another item.

    The oldest item of a file is not included; regular paths take precedence over symbolic links.
    `embed` creates one item per file, but older collections, and several collections together, may
    contain several.

    Args:
        numbered: The snapshots, each with a number that is added to its ids.
    """
    # Few files have several items, so those of one hash are found first, in little memory.
    ids, hashes = array("q"), array("q")
    for item_id, _, key in _files(numbered):
        ids.append(item_id)
        hashes.append(hash(key))
    keys, counts = np.unique(np.array(hashes, np.int64), return_counts=True)
    several = isin_sorted(np.array(hashes, np.int64), keys[counts > 1])
    chosen = set(np.array(ids, np.int64)[several].tolist())
    first: dict[_FileKey, tuple[bool, int]] = {}
    aliases: list[int] = []
    for item_id, path, key in _files(numbered) if chosen else ():
        if item_id not in chosen:
            continue
        own = (os.path.islink(path), item_id)
        other = first.setdefault(key, own)
        if other != own:
            first[key] = min(own, other)
            aliases.append(max(own, other)[1])
    return np.sort(np.array(aliases, np.int64))


def _files(numbered: Sequence[tuple[int, Snapshot]]) -> Iterator[tuple[int, str, _FileKey]]:
    """Yield id, path of the file or of its archive, and identity of the file of each item."""
    tar_statuses: dict[str, os.stat_result | None] = {}
    for first_id, snapshot in numbered:
        removed = snapshot.removed_ids()
        for batch in snapshot.iter_columns(["item_id", "uri"]):
            batch = batch.filter(pa.array(~isin_sorted(id_array(batch), removed)))
            columns = (column.to_pylist() for column in batch.columns)
            for item_id, uri in zip(*columns, strict=True):
                container, member = container_of(uri)
                if member is None:
                    status = _status(uri)
                else:
                    if container not in tar_statuses:
                        tar_statuses[container] = _status(container)
                    status = tar_statuses[container]
                key = None if status is None else file_identity(status)
                if key is not None:
                    yield first_id + item_id, uri_to_path(container), (*key, member)


def _status(uri: str) -> os.stat_result | None:
    try:
        return file_status(uri)
    except (OSError, ValueError):
        return None
