"""Where automatic collections lie, and the record that names the folder of each.

Below the user's data directory, or in the media folder itself:

    HOME/folder.json    the media folder, the model, and the mount points met below the folder
    HOME/collection/    the collection
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from retrieval.errors import CollectionFormatError
from retrieval.files.documents import parse_json
from retrieval.files.reading import read_text
from retrieval.files.writing import storage_errors, write_text
from retrieval.media.names import path_to_uri, uri_to_path
from retrieval.store.current import read_current
from retrieval.store.lock import CollectionLock

RECORD_NAME = "folder.json"
INSIDE_NAME = ".retrieval"
"""Name of the home inside a media folder; hidden, so that listing the folder skips it."""

_UNSAFE = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class FolderRecord:
    """The content of `folder.json`.

    Attributes:
        folder: URI of the real path of the media folder.
        model: Name of the model, as `embed` takes it.
        mounts: URIs of the mount points at or below the folder, where items were embedded from.
    """

    folder: str
    model: str
    mounts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AutomaticCollection:
    """The home of an automatic collection, and its record."""

    home: Path
    record: FolderRecord

    @property
    def root(self) -> Path:
        """Folder of the collection."""
        return self.home / "collection"

    @property
    def folder(self) -> Path:
        """The media folder."""
        return Path(uri_to_path(self.record.folder))

    @property
    def is_inside(self) -> bool:
        """Whether the collection lies in the media folder."""
        return self.home.name == INSIDE_NAME

    @property
    def is_published(self) -> bool:
        """Whether the collection has a generation.

        Raises:
            CollectionDamagedError: `CURRENT` is damaged.
        """
        return read_current(self.root) is not None

    def with_record(self, record: FolderRecord) -> AutomaticCollection:
        """Store another record.

        Raises:
            StorageError: The record cannot be written.
        """
        if record != self.record:
            write_text(self.home / RECORD_NAME, json.dumps(asdict(record), indent=1))
        return replace(self, record=record)

    def delete(self) -> None:
        """Delete the collection and its record. The media files stay.

        Raises:
            CollectionLockedError: A process is writing to the collection.
            StorageError: A file cannot be deleted.
        """
        with storage_errors(self.home):
            if self.root.is_dir():
                with CollectionLock(self.root):
                    (self.home / RECORD_NAME).unlink(missing_ok=True)
            shutil.rmtree(self.home)


def automatic_homes() -> Path:
    """Return the folder of all automatic collections in the user's data directory."""
    from platformdirs import user_data_path

    return user_data_path("retrieval", appauthor=False) / "folders"


def read_record(home: Path) -> AutomaticCollection | None:
    """Read the record of a home; None if there is none.

    Raises:
        CollectionFormatError: The record is damaged.
    """
    path = home / RECORD_NAME
    try:
        record = parse_json(FolderRecord, read_text(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CollectionFormatError(
            f"{path} cannot be read: {reason}; delete the folder {home} to start again"
        ) from error
    return AutomaticCollection(home, record)


def automatic_collections() -> Iterator[AutomaticCollection]:
    """Yield the automatic collections in the user's data directory; damaged records are skipped."""
    try:
        homes = sorted(automatic_homes().iterdir())
    except OSError:
        return
    for home in homes:
        try:
            found = read_record(home)
        except CollectionFormatError:
            continue
        if found is not None:
            yield found


def find_automatic(folder: Path) -> AutomaticCollection | None:
    """Return the automatic collection of a folder; None if it has none.

    Args:
        folder: A real path. A collection inside it is preferred, wherever its folder was before.

    Raises:
        CollectionFormatError: The record inside the folder is damaged.
    """
    inside = read_record(folder / INSIDE_NAME)
    if inside is not None:
        return inside
    uri = path_to_uri(str(folder))
    return next((found for found in automatic_collections() if found.record.folder == uri), None)


def create_record(folder: Path, model: str, *, inside: bool) -> AutomaticCollection:
    """Create the home and the record of an automatic collection, which is still empty.

    Args:
        folder: A real path.
        model: Name of the model.
        inside: Put the collection into the folder itself.

    Raises:
        StorageError: The home cannot be created.
    """
    record = FolderRecord(path_to_uri(str(folder)), model)
    home = folder / INSIDE_NAME if inside else _free_home(folder, record.folder)
    with storage_errors(home):
        home.mkdir(parents=True, exist_ok=True, mode=0o700)  # names of files are private
    write_text(home / RECORD_NAME, json.dumps(asdict(record), indent=1))
    return AutomaticCollection(home, record)


def _free_home(folder: Path, uri: str) -> Path:
    """Return the home for a folder: its name and a digest of its path, numbered where taken."""
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]
    name = _UNSAFE.sub("_", path_to_uri(folder.name or "root").rpartition("/")[2])[:40]
    home, number = automatic_homes() / f"{name}-{digest}", 1
    while (taken := _folder_of(home)) is not None and taken != uri:
        number += 1
        home = automatic_homes() / f"{name}-{digest}-{number}"
    return home


def _folder_of(home: Path) -> str | None:
    """Return the folder that a home belongs to, '' if its record is damaged, None if it is free."""
    try:
        found = read_record(home)
    except CollectionFormatError:
        return ""
    return None if found is None else found.record.folder
