"""Reads `CURRENT` and the manifests, and checks the paths and sizes of listed files."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from retrieval.errors import (
    CollectionDamagedError,
    CollectionFormatError,
    CollectionNotFoundError,
)
from retrieval.files.reading import read_regular
from retrieval.store.lock import live_writer
from retrieval.store.manifest import ListedFile, Manifest

_CURRENT = re.compile(r"(?P<generation>\d{6,18}) (?P<digest>[0-9a-f]{64})\n", re.ASCII)


@dataclass(frozen=True, slots=True)
class CurrentGeneration:
    """The line in `CURRENT`: a generation and the sha256 of its manifest."""

    generation: int
    digest: str

    @classmethod
    def of(cls, manifest: Manifest) -> CurrentGeneration:
        """Create the line for a manifest."""
        return cls(manifest.generation, hashlib.sha256(manifest.to_json()).hexdigest())

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        return f"{self.generation:06d} {self.digest}\n".encode()

    @property
    def manifest_path(self) -> str:
        """Path of the manifest, relative to the collection."""
        return manifest_path(self.generation)


def manifest_path(generation: int) -> str:
    """Return the path of a generation's manifest, relative to the collection."""
    return f"manifests/{generation:06d}.json"


def read_current(root: Path) -> CurrentGeneration | None:
    """Read `CURRENT`; None where no generation was published.

    Raises:
        CollectionDamagedError: The file is not one line of a generation and a digest, or it is
            missing although a generation was published.
    """
    path = root / "CURRENT"
    try:
        content = read_regular(checked_path(root, "CURRENT"))
    except (FileNotFoundError, NotADirectoryError):
        # A run that is killed before it writes the first `CURRENT` leaves one manifest.
        newest = highest_number(root / "manifests")
        if newest > 1:
            raise CollectionDamagedError(
                f"{path} is missing, but {manifest_path(newest)} exists; restore it from a copy"
            ) from None
        return None
    except OSError as error:
        raise CollectionDamagedError(f"{path} cannot be read: {error.strerror}") from error
    return parse_current(content, str(path))


def parse_current(content: bytes, path: str) -> CurrentGeneration:
    """Parse the content of `CURRENT`; `path` names it in error messages.

    Raises:
        CollectionDamagedError: It is not one line of a generation and a digest.
    """
    match = _CURRENT.fullmatch(content.decode("ascii", "replace"))
    if match is None:
        raise CollectionDamagedError(
            f"{path} is damaged: expected a generation and a sha256, found {content[:80]!r}; "
            "restore it from a copy"
        )
    return CurrentGeneration(int(match["generation"]), match["digest"])


def not_found_error(root: Path) -> CollectionNotFoundError:
    """Create the error for a folder without `CURRENT`, which may be a collection in progress."""
    writer = live_writer(root)
    if writer is not None:
        return CollectionNotFoundError(
            f"{root} has no published generation yet: {writer} is creating it and publishes within "
            "about a minute; try again then"
        )
    return CollectionNotFoundError(
        f"{root} is not a collection: it has no file CURRENT; check the path, or embed media"
    )


def read_manifest(root: Path, current: CurrentGeneration) -> Manifest:
    """Read the manifest that `CURRENT` names and compare its digest.

    Raises:
        CollectionDamagedError: The manifest is missing or differs from the digest in `CURRENT`.
        CollectionFormatError: The manifest breaks the rules of the format.
    """
    path = root / current.manifest_path
    try:
        blob = read_regular(checked_path(root, current.manifest_path))
    except OSError as error:
        raise CollectionDamagedError(
            f"{path}, which CURRENT names, cannot be read: {error.strerror}; "
            "restore it or CURRENT from a copy"
        ) from error
    if hashlib.sha256(blob).hexdigest() != current.digest:
        raise CollectionDamagedError(
            f"{path} differs from its digest in CURRENT: one of the two is damaged; "
            "restore both from a copy"
        )
    return _parse_manifest(blob, path, current.generation)


def read_generation(root: Path, generation: int) -> Manifest:
    """Read the manifest of the current generation or of an older one that still exists.

    Raises:
        CollectionNotFoundError: The folder is not a collection, or has no such generation.
        CollectionDamagedError: The current generation's manifest is missing or damaged.
        CollectionFormatError: The manifest breaks the rules of the format.
    """
    current = read_current(root)
    if current is None:
        raise not_found_error(root)
    if generation == current.generation:
        return read_manifest(root, current)
    path = checked_path(root, manifest_path(generation))
    # A killed run can leave the manifest of a later generation, which was never published.
    if generation > current.generation or not path.is_file():
        raise CollectionNotFoundError(
            f"{root} has no generation {generation}; the current one is {current.generation}, and "
            "compacting deletes older ones"
        )
    return _parse_manifest(read_regular(path), path, generation)


def _parse_manifest(blob: bytes, path: Path, generation: int) -> Manifest:
    manifest = Manifest.from_json(blob, str(path))
    if manifest.generation != generation:
        raise CollectionFormatError(
            f"{path} is of generation {manifest.generation}, expected {generation}"
        )
    return manifest


def checked_path(root: Path, relative: str) -> Path:
    """Return the path of a file inside the collection.

    Raises:
        CollectionFormatError: A link on the path leads out of the collection.
    """
    path = root / relative
    # Path.resolve raises on circular links.
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise CollectionFormatError(
            f"{path} leads out of the collection; replace the link by the file"
        )
    return path


def check_size(root: Path, file: ListedFile) -> None:
    """Compare a listed file with its size in the manifest.

    Raises:
        CollectionDamagedError: The file is missing, not a plain file, or of another size.
        CollectionFormatError: A link leads out of the collection.
    """
    path = checked_path(root, file.path)
    try:
        status = path.stat()
    except OSError as error:
        raise CollectionDamagedError(
            f"{path}, which the manifest lists, cannot be opened: {error.strerror}; "
            "restore it from a copy"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise CollectionDamagedError(f"{path} is not a plain file; restore it from a copy")
    if status.st_size != file.bytes:
        raise CollectionDamagedError(
            f"{path} has {status.st_size} bytes, the manifest lists {file.bytes}; "
            "restore it from a copy"
        )


def highest_number(folder: Path) -> int:
    """Return the highest number that names an entry of a folder, listed or not; -1 for none."""
    try:
        names = [entry.name.partition(".")[0] for entry in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return -1
    return max((int(name) for name in names if re.fullmatch(r"\d+", name, re.ASCII)), default=-1)
