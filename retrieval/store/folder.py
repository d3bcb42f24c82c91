"""The folder of a collection: what it may hold, and which files in it nobody needs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from retrieval.errors import CollectionError, CollectionFormatError, StorageError
from retrieval.files.reading import read_regular
from retrieval.files.writing import check_writable, storage_errors
from retrieval.store.current import manifest_path, not_a_collection, read_current
from retrieval.store.manifest import Manifest

FOLDERS = (
    "manifests", "items", "segments", "frames", "removed", "updated", "failures", "indexes"
)  # fmt: skip
"""The folders of a collection; nothing outside them is ever written or deleted."""


def prepare_folder(root: Path, *, create: bool) -> None:
    """Refuse a place that cannot hold a collection before any work is done.

    Raises:
        CollectionNotFoundError: There is no collection, and `create` is False.
        CollectionError: The folder holds something else.
        StorageError: The folder is a file, or cannot be written to.
    """
    if root.exists() and not root.is_dir():
        raise StorageError(f"{root} is a file, expected a folder for the collection; name another")
    if not create and read_current(root) is None:
        raise not_a_collection(root)
    with storage_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        check_writable(root)
        strangers = sorted(
            path.name
            for path in root.iterdir()
            if path.name not in FOLDERS and not path.name.startswith(".")
        )
    if read_current(root) is None and strangers:
        raise CollectionError(
            f"{root} holds {strangers[0]!r} and is not a collection; name a new or an empty folder"
        )


def delete_partial_files(root: Path) -> list[Path]:
    """Delete what a killed writer had not finished; the lock must be held."""
    found = [
        path
        for folder in (".", *FOLDERS)
        if not (root / folder).is_symlink()
        for path in (root / folder).glob(".*.tmp" if folder == "." else "**/.*.tmp")
    ]
    for path in found:
        with suppress(FileNotFoundError):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    return found


def recent_manifests(root: Path, current: int, seconds: float) -> Iterator[Manifest]:
    """Manifests that were followed by the next one at most so long ago, the newest first."""
    younger = (root / manifest_path(current)).stat().st_mtime
    for path in sorted((root / "manifests").glob("*.json"), reverse=True):
        if not path.stem.isdecimal() or int(path.stem) >= current:
            continue
        if younger < time.time() - seconds:
            return
        with suppress(CollectionFormatError, OSError):  # a damaged one serves nobody
            yield Manifest.from_json(read_regular(path), str(path))
        younger = path.stat().st_mtime


def delete_unlisted(root: Path, kept: Sequence[Manifest]) -> tuple[int, int]:
    """Delete every file in the collection's folders that no kept generation lists.

    Returns:
        How many were deleted, and their bytes.
    """
    keep = {root / file.path for manifest in kept for file in manifest.files}
    keep |= {root / manifest_path(manifest.generation) for manifest in kept}
    deleted = freed = 0
    for folder in FOLDERS:
        if (root / folder).is_symlink():
            continue
        for path in sorted((root / folder).rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                with suppress(OSError):  # not empty
                    path.rmdir()
            elif path not in keep:
                freed += path.lstat().st_size
                path.unlink()
                deleted += 1
    return deleted, freed
