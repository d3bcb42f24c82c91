"""Prepares the folder of a collection and deletes unlisted files in it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from retrieval.errors import CollectionError, CollectionFormatError, StorageError
from retrieval.files.reading import read_regular
from retrieval.files.writing import check_writable, storage_errors
from retrieval.store.current import manifest_path, not_found_error, read_current
from retrieval.store.manifest import Manifest, is_data_path

FOLDERS = (
    "manifests", "items", "texts", "sidecars", "segments", "frames", "removed", "updated",
    "failures", "indexes",
)  # fmt: skip
"""Folders of a collection. Only `CURRENT` and the lock are written outside them."""


def prepare_folder(root: Path, *, create: bool) -> None:
    """Check that a folder can hold a collection, and create it if allowed.

    Raises:
        CollectionNotFoundError: The folder is not a collection, and `create` is False.
        CollectionError: The folder holds other files.
        StorageError: The path is a file, or the folder is not writable.
    """
    if root.exists() and not root.is_dir():
        raise StorageError(f"{root} is a file, expected a folder for the collection; name another")
    if not create and read_current(root) is None:
        raise not_found_error(root)
    with storage_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        check_writable(root)
        foreign_names = sorted(
            path.name
            for path in root.iterdir()
            if path.name not in FOLDERS and not path.name.startswith(".")
        )
    if read_current(root) is None and foreign_names:
        raise CollectionError(
            f"{root} holds {foreign_names[0]!r} and is not a collection; name a new or empty folder"
        )


def delete_partial_files(root: Path) -> None:
    """Delete the temporary files of a killed writer; the caller must hold the lock."""
    partial_files = [
        path
        for folder in (".", *FOLDERS)
        if not (root / folder).is_symlink()
        for path in (root / folder).glob(".*.tmp" if folder == "." else "**/.*.tmp")
    ]
    for path in partial_files:
        with suppress(FileNotFoundError):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def delete_unpublished(root: Path) -> None:
    """Delete the shards of a killed first run; the caller must hold the lock.

    The folder has no generation. Files whose names the format does not have are kept.
    """
    for folder in FOLDERS:
        if (root / folder).is_symlink():
            continue
        for path in (root / folder).rglob("*"):
            if is_data_path(path.relative_to(root).as_posix()) and not path.is_dir():
                path.unlink()


def recent_manifests(root: Path, current: int, seconds: float) -> Iterator[Manifest]:
    """Yield the manifests that were replaced at most `seconds` ago, the newest first."""
    replaced_at = (root / manifest_path(current)).stat().st_mtime
    for path in sorted((root / "manifests").glob("*.json"), reverse=True):
        if not path.stem.isdecimal() or int(path.stem) >= current:
            continue
        if replaced_at < time.time() - seconds:
            return
        with suppress(CollectionFormatError, OSError):  # no reader can use a damaged manifest
            yield Manifest.from_json(read_regular(path), str(path))
        replaced_at = path.stat().st_mtime


def delete_unlisted(root: Path, manifests: Sequence[Manifest]) -> tuple[int, int]:
    """Delete the files in the collection's folders that none of the manifests lists.

    Returns:
        Number and bytes of the deleted files.
    """
    listed = {root / file.path for manifest in manifests for file in manifest.files}
    listed |= {root / manifest_path(manifest.generation) for manifest in manifests}
    deleted = freed = 0
    for folder in FOLDERS:
        if (root / folder).is_symlink():
            continue
        for path in sorted((root / folder).rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                with suppress(OSError):  # not empty
                    path.rmdir()
            elif path not in listed:
                freed += path.lstat().st_size
                path.unlink()
                deleted += 1
    return deleted, freed
