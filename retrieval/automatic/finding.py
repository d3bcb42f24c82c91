"""Finds the automatic collection that a media folder is searched through."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from retrieval.automatic.moving import find_moved, relocate
from retrieval.automatic.records import AutomaticCollection, automatic_collections, find_automatic
from retrieval.collection_paths import is_collection as is_collection
from retrieval.encoders.catalogue import CATALOGUE, resolve
from retrieval.errors import CollectionError, OtherModelError, SourceError
from retrieval.media.names import path_to_uri
from retrieval.store.reader import Snapshot


def real_folder(path: str | os.PathLike[str]) -> Path:
    """Return the real path of a media folder.

    Raises:
        SourceError: There is no such folder, or the path is a file.
    """
    expanded = Path(path).expanduser()
    try:
        real = expanded.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError
        reason = getattr(error, "strerror", None) or "a loop of links"
        raise SourceError(f"{expanded}: {reason}; name a folder of media") from error
    if not real.is_dir():
        raise SourceError(f"{expanded} is a file, expected a collection or a folder of media")
    return real


def collection_root(path: Path) -> Path:
    """Return the collection that a path stands for: itself, or that of a folder of media."""
    try:
        if is_collection(path) or not path.is_dir():
            return path
        found = find_automatic(path.resolve())
    except (OSError, RuntimeError):
        return path  # opening it reports the error
    return path if found is None else found.root


def find_covering(folder: Path) -> AutomaticCollection | None:
    """Return the automatic collection of a folder or of the nearest folder above it.

    A collection whose folder was moved here is given its new path.

    Raises:
        CollectionFormatError: A record inside one of the folders is damaged.
        CollectionLockedError: The moved collection is being written.
    """
    for candidate in (folder, *folder.parents):
        found = find_automatic(candidate)
        if found is not None:
            return found if found.folder == candidate else relocate(found, candidate)
    moved = find_moved(folder)
    return None if moved is None else relocate(moved, folder)


def widen_inner(folder: Path) -> AutomaticCollection | None:
    """Let the largest automatic collection of a folder below become the one of this folder.

    Its files are then not embedded again.
    """
    inner = max(_below(folder), key=_item_count, default=None)
    if inner is None:
        return None
    return inner.with_record(replace(inner.record, folder=path_to_uri(str(folder))))


def _below(folder: Path) -> Iterator[AutomaticCollection]:
    prefix = path_to_uri(str(folder)).rstrip("/") + "/"
    return (one for one in automatic_collections() if one.record.folder.startswith(prefix))


def _item_count(collection: AutomaticCollection) -> int:
    try:
        return len(Snapshot.open(collection.root).item_ids())
    except CollectionError:
        return 0


def canonical_model(model: str) -> str:
    """Return the name of a model that stays valid in other folders.

    Raises:
        UnknownModelError: There is no such model.
    """
    name = model.casefold()
    return name if name in CATALOGUE else resolve(model)[0]


def check_model(collection: AutomaticCollection, model: str) -> None:
    """Refuse another model than that of a collection with items.

    Raises:
        OtherModelError: The models differ.
        UnknownModelError: There is no such model.
    """
    stored = collection.record.model
    if canonical_model(model) != stored and collection.is_published:
        raise OtherModelError(
            f"{collection.folder} is embedded by {stored}, not by {model}; leave the model out, or "
            "delete the automatic collection and embed the folder again"
        )
