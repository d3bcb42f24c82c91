"""`split`: divides a collection into several, without embedding again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import CollectionError, QueryError, StorageError
from retrieval.files.writing import storage_errors, sync_folder
from retrieval.progress import Progress, no_progress
from retrieval.store.appending import Addition, append_items
from retrieval.store.blocks import isin_sorted
from retrieval.store.filters.evaluation import matching_ids
from retrieval.store.id_table import write_id_table
from retrieval.store.lock import HOLDER_NAME, LOCK_NAME, CollectionLock
from retrieval.store.merge import new_collection
from retrieval.store.reader import Snapshot
from retrieval.types import Failure

ID_TABLE_NAME = "ids.parquet"
"""The table of old and new ids, in the folder of the parts."""


@dataclass(frozen=True, slots=True)
class SplitPart:
    """One new collection."""

    root: Path
    items: int

    def summary(self) -> str:
        """Format the part as one line."""
        return f"{self.root}: {self.items} item{'' if self.items == 1 else 's'}"


def split(
    root: Path,
    folder: Path,
    *,
    rows: int | None = None,
    where: Sequence[str] = (),
    progress: Progress = no_progress,
) -> list[SplitPart]:
    """Divide a collection into new ones, named `NAME-00`, `NAME-01` and so on, in a folder.

    Either `rows` or `where` is given. Items get new ids in the order of their old ones;
    `ids.parquet` in the folder lists both. Indexes are not copied. The folder appears at the end,
    with all parts; a killed split is repeated.

    Args:
        root: The collection.
        folder: Folder of the parts; it does not exist, or is empty.
        rows: Maximum number of items of a part, and of its vectors in each space. An item with more
            vectors is a part of its own.
        where: Conditions over the items' columns, one for each part. An item goes to the first
            condition that it matches. Items that match none form one more part.
        progress: Receives the number of copied files.

    Raises:
        QueryError: Both or none of `rows` and `where` are given, or a part would be empty.
        FilterError: A condition is invalid.
        CollectionError: The folder holds other files, or the collection is damaged.
        StorageError: The disk refused; there are no parts.
    """
    if (rows is None) == (not where):
        raise QueryError("give either the rows of a part, or a condition for each part")
    if rows is not None and rows < 1:
        raise QueryError(f"rows is {rows}, expected 1 or more")
    folder = folder.absolute()
    _check_free(folder)
    snapshot = Snapshot.open(root)
    groups = _by_rows(snapshot, rows) if rows is not None else _by_conditions(snapshot, where)
    partial = folder.with_name(f".{folder.name}.split")
    with storage_errors(partial):
        partial.mkdir(parents=True, exist_ok=True)
    with CollectionLock(partial):
        _clear(partial)
        names = [f"{root.absolute().name}-{number:02d}" for number in range(len(groups))]
        additions = [Addition(snapshot, ids) for ids in groups]
        failures = _failures_of_parts(snapshot, groups)
        for name, addition, failed in zip(names, additions, failures, strict=True):
            with new_collection(partial / name) as writer:
                append_items(writer, [addition], failures=failed, progress=progress)
        write_id_table(partial / ID_TABLE_NAME, additions, names=names)
        _publish(partial, folder)
    return [SplitPart(folder / name, len(ids)) for name, ids in zip(names, groups, strict=True)]


def _check_free(folder: Path) -> None:
    if folder.is_dir():
        other = next(iter(sorted(path.name for path in folder.iterdir())), None)
        if other is not None:
            raise CollectionError(f"{folder} holds {other!r}; name a new or empty folder")
    elif os.path.lexists(folder):
        raise StorageError(f"{folder} is a file, expected a folder for the parts; name another")


def _clear(partial: Path) -> None:
    """Delete what a killed split left."""
    with storage_errors(partial):
        for path in partial.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in (LOCK_NAME, HOLDER_NAME):
                path.unlink()


def _publish(partial: Path, folder: Path) -> None:
    """Rename the folder of the finished parts."""
    with storage_errors(folder):
        for name in (HOLDER_NAME, LOCK_NAME):
            (partial / name).unlink(missing_ok=True)
        os.replace(partial, folder)
        sync_folder(folder.parent)


# ---------------------------------------------------------------- items of the parts


def _by_rows(snapshot: Snapshot, rows: int) -> list[NDArray[np.int64]]:
    """Divide the items so that no part has more items, or more vectors in a space."""
    ids = snapshot.item_ids()
    if not len(ids):
        raise QueryError(f"{snapshot.root} has no items to divide")
    totals = [np.arange(len(ids) + 1, dtype=np.int64)]
    for space in snapshot.spaces:
        counts = np.zeros(len(ids), np.int64)
        for block in snapshot.iter_segments(space.name):
            counts += np.bincount(np.searchsorted(ids, block.item_ids), minlength=len(ids))
        totals.append(np.concatenate([[0], np.cumsum(counts)]))
    parts = []
    start = 0
    while start < len(ids):
        end = min(int(np.searchsorted(each, each[start] + rows, "right")) - 1 for each in totals)
        end = max(end, start + 1)
        parts.append(ids[start:end])
        start = end
    return parts


def _by_conditions(snapshot: Snapshot, where: Sequence[str]) -> list[NDArray[np.int64]]:
    """Give each item to the first condition that it matches, and the others to a last part."""
    rest = snapshot.item_ids()
    parts = []
    for condition in where:
        matching = np.intersect1d(rest, matching_ids(snapshot, condition))
        if not len(matching):
            raise QueryError(f"no item is left that matches {condition!r}; leave it out")
        parts.append(matching)
        rest = np.setdiff1d(rest, matching)
    return [*parts, rest] if len(rest) else parts


def _failures_of_parts(
    snapshot: Snapshot, groups: Sequence[NDArray[np.int64]]
) -> Iterator[list[Failure]]:
    """Give the failures of items to the parts of the items, and the others to the first part."""
    failures = snapshot.failures()
    known = snapshot.known_files() if failures else {}
    for number, ids in enumerate(groups):
        part = []
        for uri, failure in failures.items():
            item = known.get(uri)
            if item is None:
                if number == 0:
                    part.append(failure)
            elif isin_sorted(np.array([item.item_id]), ids).all():
                part.append(failure)
        yield part
