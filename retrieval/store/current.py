"""`CURRENT`: which generation a collection is, and the way from there to its files."""

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
class Current:
    """The one line of `CURRENT`: a generation and the sha256 of its manifest."""

    generation: int
    digest: str

    @classmethod
    def of(cls, manifest: Manifest) -> Current:
        """The line that makes a manifest the current one."""
        return cls(manifest.generation, hashlib.sha256(manifest.to_json()).hexdigest())

    def to_bytes(self) -> bytes:
        """The content of the file."""
        return f"{self.generation:06d} {self.digest}\n".encode()

    @property
    def manifest_path(self) -> str:
        """Path of the manifest, relative to the collection."""
        return manifest_path(self.generation)


def manifest_path(generation: int) -> str:
    """Path of a generation's manifest, relative to the collection."""
    return f"manifests/{generation:06d}.json"


def read_current(root: Path) -> Current | None:
    """Read `CURRENT`; None where nothing was ever published.

    Raises:
        CollectionDamagedError: It is not one line of a generation and a digest, or it is missing
            although generations were published.
    """
    path = root / "CURRENT"
    try:
        content = read_regular(checked_path(root, "CURRENT"))
    except (FileNotFoundError, NotADirectoryError):
        # One manifest alone is what a run leaves that was killed before its first `CURRENT`.
        newest = highest_number(root / "manifests")
        if newest > 1:
            raise CollectionDamagedError(
                f"{path} is missing, yet {manifest_path(newest)} exists; restore it from a copy"
            ) from None
        return None
    except OSError as error:
        raise CollectionDamagedError(f"{path} cannot be read: {error.strerror}") from error
    match = _CURRENT.fullmatch(content.decode("ascii", "replace"))
    if match is None:
        raise CollectionDamagedError(
            f"{path} is damaged: expected a generation and a sha256, found {content[:80]!r}; "
            "restore it from a copy"
        )
    return Current(int(match["generation"]), match["digest"])


def not_a_collection(root: Path) -> CollectionNotFoundError:
    """The error for a folder without `CURRENT`: it is none, or its first files are being read."""
    writer = live_writer(root)
    if writer is not None:
        return CollectionNotFoundError(
            f"{root} has nothing to read yet: {writer} is making it and publishes for the first "
            "time within a minute or so; try again then"
        )
    return CollectionNotFoundError(
        f"{root} is not a collection: it holds no CURRENT; "
        f"make one with: retrieval embed SOURCE -c {root}"
    )


def read_manifest(root: Path, current: Current) -> Manifest:
    """Read the manifest that `CURRENT` names, and compare its digest.

    Raises:
        CollectionDamagedError: It is missing or differs from the digest in `CURRENT`.
        CollectionFormatError: It breaks the rules of the format.
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
    manifest = Manifest.from_json(blob, str(path))
    if manifest.generation != current.generation:
        raise CollectionFormatError(
            f"{path} says that it is generation {manifest.generation}, "
            f"expected {current.generation}"
        )
    return manifest


def read_generation(root: Path, generation: int) -> Manifest:
    """Read the manifest of a generation that was published, whether or not it is current.

    Raises:
        CollectionNotFoundError: The folder is not a collection, or has no such generation.
        CollectionDamagedError: The current generation's manifest is missing or damaged.
        CollectionFormatError: The manifest breaks the rules of the format.
    """
    current = read_current(root)
    if current is None:
        raise not_a_collection(root)
    if generation == current.generation:
        return read_manifest(root, current)
    path = checked_path(root, manifest_path(generation))
    # One above the current is what a run left that was killed before it was published.
    if generation > current.generation or not path.is_file():
        raise CollectionNotFoundError(
            f"{root} has no generation {generation}; the current one is {current.generation}, "
            "and older ones go with `compact`"
        )
    manifest = Manifest.from_json(read_regular(path), str(path))
    if manifest.generation != generation:
        raise CollectionFormatError(
            f"{path} says that it is generation {manifest.generation}, expected {generation}"
        )
    return manifest


def checked_path(root: Path, relative: str) -> Path:
    """The path of a file inside the collection.

    Raises:
        CollectionFormatError: A link on the way leads out of the collection.
    """
    path = root / relative
    # Not Path.resolve: it raises where links go in a circle.
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise CollectionFormatError(
            f"{path} leads out of the collection; expected a file inside, replace the link by it"
        )
    return path


def check_size(root: Path, file: ListedFile) -> None:
    """Compare a listed file with its size in the manifest.

    Raises:
        CollectionDamagedError: It is missing, no plain file, or of another size.
        CollectionFormatError: A link leads out of the collection.
    """
    path = checked_path(root, file.path)
    try:
        found = path.stat()
    except OSError as error:
        raise CollectionDamagedError(
            f"{path}, which the manifest lists, cannot be opened: {error.strerror}; "
            "restore it from a copy"
        ) from error
    if not stat.S_ISREG(found.st_mode):
        raise CollectionDamagedError(f"{path} is not a plain file; restore it from a copy")
    if found.st_size != file.bytes:
        raise CollectionDamagedError(
            f"{path} has {found.st_size} bytes, the manifest lists {file.bytes}; "
            "restore it from a copy"
        )


def highest_number(folder: Path) -> int:
    """The highest number that names a file or folder here, listed or not; -1 where none does."""
    try:
        names = [entry.name.partition(".")[0] for entry in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return -1
    return max((int(name) for name in names if re.fullmatch(r"\d+", name, re.ASCII)), default=-1)
