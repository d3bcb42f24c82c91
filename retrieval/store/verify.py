"""Compares every file of a collection with its digest: the only defence against flipped bits."""

from __future__ import annotations

import hashlib
from pathlib import Path

from retrieval.errors import CollectionDamagedError, CollectionFormatError
from retrieval.files.reading import open_regular
from retrieval.store.current import check_size, not_a_collection, read_current, read_manifest
from retrieval.store.manifest import ListedFile


def verify(root: Path) -> list[str]:
    """Read every file of the current generation.

    Returns:
        One line per problem, each naming its file; empty when the collection is whole.
    Raises:
        CollectionNotFoundError: The folder is not a collection.
    """
    try:
        current = read_current(root)
        if current is None:
            raise not_a_collection(root)
        manifest = read_manifest(root, current)
    except (CollectionDamagedError, CollectionFormatError) as error:
        return [str(error)]
    problems = (_problem(root, file) for file in manifest.files)
    return [problem for problem in problems if problem is not None]


def _problem(root: Path, file: ListedFile) -> str | None:
    path = root / file.path
    try:
        check_size(root, file)
        with open_regular(path) as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except (CollectionDamagedError, CollectionFormatError) as error:
        return str(error)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}; restore it from a copy"
    if digest != file.sha256:
        return f"{path} is damaged: its sha256 is not the manifest's; restore it from a copy"
    return None
