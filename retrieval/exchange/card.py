"""space.json: which space exported vectors belong to, so that importing them need not ask."""

from __future__ import annotations

from pathlib import Path

from retrieval.errors import CollectionFormatError
from retrieval.files.reading import read_regular
from retrieval.store.manifest import Manifest
from retrieval.types import Space

NAME = "space.json"


def write_card(folder: Path, space: Space) -> None:
    """Write the card: a manifest of the one space, without files."""
    card = Manifest(generation=0, spaces=(space,), next_item_id=0, files=())
    (folder / NAME).write_bytes(card.to_json())


def read_card(folder: Path) -> Space | None:
    """The space of a folder's vectors; None where the folder is no export of this program.

    Raises:
        CollectionFormatError: The card cannot be read, or names another number of spaces.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    card = Manifest.from_json(read_regular(path), str(path))
    if len(card.spaces) != 1:
        raise CollectionFormatError(f"{path} names {len(card.spaces)} spaces, expected one")
    return card.spaces[0]
