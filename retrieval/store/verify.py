"""Compares the files of a collection with the sha256 digests in its manifest."""

from __future__ import annotations

from pathlib import Path

from retrieval.errors import CollectionDamagedError, CollectionFormatError
from retrieval.files.reading import file_sha256
from retrieval.store.current import check_size, not_found_error, read_current, read_manifest
from retrieval.store.manifest import ListedFile


def verify(root: Path) -> list[str]:
    """Read and compare every file of the current generation.

    Returns:
        One line per problem that names the file; empty if the collection is intact.
    Raises:
        CollectionNotFoundError: The folder is not a collection.
    """
    try:
        current = read_current(root)
        if current is None:
            raise not_found_error(root)
        manifest = read_manifest(root, current)
    except (CollectionDamagedError, CollectionFormatError) as error:
        return [str(error)]
    problems = (file_problem(root, file) for file in manifest.files)
    return [problem for problem in problems if problem is not None]


def file_problem(root: Path, file: ListedFile) -> str | None:
    """Return what is wrong with the size or the digest of a listed file; None if nothing is."""
    path = root / file.path
    try:
        check_size(root, file)
        digest = file_sha256(path)
    except (CollectionDamagedError, CollectionFormatError) as error:
        return str(error)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}; restore it from a copy"
    if digest != file.sha256:
        return f"{path} is damaged: its sha256 differs from the manifest; restore it from a copy"
    return None
