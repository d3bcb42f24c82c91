"""The collections of units, which wait on the shared file system to be appended.

A unit's collection is complete after each of its generations, so that whatever a killed run left
can be appended, too.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from retrieval.errors import CollectionError
from retrieval.files.writing import storage_errors, write_text
from retrieval.store.appending import Addition, append_items
from retrieval.store.current import read_current
from retrieval.store.lock import CollectionLock
from retrieval.store.reader import Snapshot
from retrieval.store.writer import CollectionWriter
from retrieval.types import KnownFile, Medium

logger = logging.getLogger(__name__)

FOLDER = ".units"
"""Folder in the collection. The format ignores hidden names."""

LOCK_SECONDS = 20.0
"""Time for the workers of a killed run to end."""


@dataclass(slots=True)
class Appended:
    """What one unit added.

    Attributes:
        added: New items by modality, without those that the collection had.
        replaced: Added items that replace an older version of their file.
        files: The new items by uri, with their ids.
        uris: Uris of all items of the unit.
    """

    added: dict[Medium, int] = field(default_factory=lambda: dict.fromkeys(Medium, 0))
    replaced: int = 0
    files: dict[str, KnownFile] = field(default_factory=dict)
    uris: list[str] = field(default_factory=list)


class Staging:
    """The folder of the units of one run.

    Attributes:
        token: A secret that nodes with the same file system can read.
    """

    def __init__(self, root: Path) -> None:
        self._parent = root.absolute() / FOLDER
        self._run = self._parent / secrets.token_hex(8)
        self._count = 0
        self.token = secrets.token_hex(16)
        with storage_errors(self._run):
            self._run.mkdir(parents=True)
        write_text(self.token_file, self.token)

    @property
    def token_file(self) -> Path:
        """The file that holds the token."""
        return self._run / "token"

    def new_folder(self) -> Path:
        """Return the name of a new folder for a unit."""
        self._count += 1
        return self._run / f"{self._count:06d}"

    def leftovers(self) -> list[Path]:
        """Return the collections of units that earlier runs left and nobody writes to."""
        runs = sorted(
            path for path in self._parent.iterdir() if path.is_dir() and path != self._run
        )
        return [folder for run in runs for folder in sorted(run.iterdir()) if _is_free(folder)]

    def delete(self, folder: Path) -> None:
        """Delete the collection of a unit."""
        shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Delete the folders of this and of earlier runs, unless units in them are not appended."""
        for run in list(self._parent.iterdir()):
            if run.is_dir() and not any(path.is_dir() for path in run.iterdir()):
                shutil.rmtree(run, ignore_errors=True)
        with suppress(OSError):  # other runs remain
            self._parent.rmdir()


def _is_free(folder: Path) -> bool:
    """Whether no worker of an ended run writes to a folder; waits for those that are ending."""
    if not folder.is_dir():
        return False
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            with CollectionLock(folder):
                return True
        except CollectionError:
            if time.monotonic() > deadline:
                logger.warning("%s is being written; its items are embedded again", folder)
                return False
            time.sleep(0.5)


def append_unit(
    writer: CollectionWriter,
    folder: Path,
    known: Mapping[str, KnownFile],
    *,
    replaces: Callable[[KnownFile, KnownFile], bool],
) -> Appended:
    """Publish the items of a unit in one generation of the collection.

    Items whose content the collection has are left out, so that repeating it changes nothing.

    Args:
        writer: The collection.
        folder: The collection of the unit.
        known: The items of the collection, by uri.
        replaces: Whether a staged version replaces the other one, of other content.
    """
    result = Appended()
    if read_current(folder) is None:
        return result  # none of its files is a new item
    snapshot = Snapshot.open(folder)
    staged: dict[str, KnownFile] = {}
    removed: list[int] = []
    for uri, medium, file in _staged_files(snapshot):
        result.uris.append(uri)
        older = known.get(uri)
        if older is not None:
            if older.sha256 == file.sha256 or not replaces(file, older):
                continue
            removed.append(older.item_id)
        staged[uri] = file
        result.added[medium] += 1
    result.replaced = len(removed)
    if staged:
        ids = np.array([file.item_id for file in staged.values()], np.int64)
        (addition,) = append_items(writer, [Addition(snapshot, ids)], removed=removed)
        new_ids = addition.new_ids(ids).tolist()
        result.files = {
            uri: replace(file, item_id=new_id)
            for (uri, file), new_id in zip(staged.items(), new_ids, strict=True)
        }
    return result


def _staged_files(snapshot: Snapshot) -> Iterator[tuple[str, Medium, KnownFile]]:
    """Yield uri, modality and state of the items of a unit, in order of their ids."""
    modalities = {
        uri: Medium(modality)
        for batch in snapshot.iter_columns(("item_id", "uri", "modality"))
        for uri, modality in zip(
            batch.column("uri").to_pylist(), batch.column("modality").to_pylist(), strict=True
        )
    }
    for uri, file in snapshot.known_files().items():
        yield uri, modalities[uri], file
