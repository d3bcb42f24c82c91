"""Reads and writes `space.json`, which names the space of exported vectors."""

from __future__ import annotations

from pathlib import Path

from retrieval.errors import CollectionFormatError
from retrieval.files.reading import read_regular
from retrieval.files.writing import write_atomically
from retrieval.store.manifest import Manifest
from retrieval.types import Space

NAME = "space.json"


def write_space(folder: Path, space: Space) -> None:
    """Write `space.json` as a manifest of one space without files.

    Raises:
        StorageError: The system refused a step.
    """
    manifest = Manifest(generation=0, spaces=(space,), next_item_id=0, files=())
    with write_atomically(folder / NAME) as file:
        file.write(manifest.to_json())


def read_space(folder: Path) -> Space | None:
    """Read the space of a folder's vectors; None if the folder is not an export of this program.

    Raises:
        CollectionFormatError: The file is damaged, or names another number of spaces.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    manifest = Manifest.from_json(read_regular(path), str(path))
    if len(manifest.spaces) != 1:
        raise CollectionFormatError(f"{path} names {len(manifest.spaces)} spaces, expected one")
    return manifest.spaces[0]
