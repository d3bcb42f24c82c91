"""A generation: an immutable list of files. The collection is what CURRENT's manifest lists."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

from retrieval.errors import (
    CollectionDamagedError,
    CollectionFormatError,
    CollectionNotFoundError,
)
from retrieval.store.publish import write_text
from retrieval.types import AudioWindows, Medium, Sampling, Space

SCHEMA_VERSION = 1
_CURRENT = re.compile(r"(\d{6,}) ([0-9a-f]{64})\n")


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One file of a generation.

    `first_item_id` and `last_item_id` bound the items it was computed for, those without rows
    included; None for files that are not about items.
    """

    path: str
    bytes: int
    sha256: str
    rows: int
    first_item_id: int | None = None
    last_item_id: int | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """One generation of a collection."""

    generation: int
    spaces: tuple[Space, ...]
    next_item_id: int
    files: tuple[ListedFile, ...]

    def listed(self, folder: str) -> tuple[ListedFile, ...]:
        """The files directly in a folder such as `items` or `segments/NAME`, in commit order."""
        return tuple(file for file in self.files if file.path.rpartition("/")[0] == folder)

    def to_json(self) -> str:
        """The manifest file's text."""
        content = {
            "schema_version": SCHEMA_VERSION,
            "generation": self.generation,
            "next_item_id": self.next_item_id,
            "spaces": [asdict(space) for space in self.spaces],
            "files": [asdict(file) for file in self.files],
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, name: str) -> Manifest:
        """Parse a manifest; `name` is used in messages.

        Raises:
            CollectionFormatError: Invalid JSON, another version, unknown or missing keys, or a
                path that leaves the collection.
        """
        try:
            raw = json.loads(text)
            version = raw["schema_version"]
            if version != SCHEMA_VERSION:
                raise CollectionFormatError(
                    f"{name} has schema version {version}, this release reads {SCHEMA_VERSION}"
                )
            _only(raw, {"schema_version", "generation", "next_item_id", "spaces", "files"}, name)
            manifest = cls(
                generation=int(raw["generation"]),
                spaces=tuple(_space(space, name) for space in raw["spaces"]),
                next_item_id=int(raw["next_item_id"]),
                files=tuple(_file(file, name) for file in raw["files"]),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if isinstance(error, CollectionFormatError):
                raise
            raise CollectionFormatError(f"{name} is not a manifest: {error!r}") from error
        return manifest


def _space(raw: Mapping[str, Any], name: str) -> Space:
    _only(raw, {field.name for field in fields(Space)}, name)
    windows = raw["windows"]
    return Space(
        name=_part(raw["name"], name),
        encoder=raw["encoder"],
        dim=raw["dim"],
        media=tuple(Medium(medium) for medium in raw["media"]),
        digest=raw["digest"],
        sampling=Sampling(**raw["sampling"]),
        windows=None if windows is None else AudioWindows(**windows),
    )


def _part(part: str, name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", part):
        raise CollectionFormatError(f"{name} names a space {part!r}: letters, digits and dashes")
    return part


def _file(raw: Mapping[str, Any], name: str) -> ListedFile:
    _only(raw, {field.name for field in fields(ListedFile)}, name)
    file = ListedFile(**raw)
    path = PurePosixPath(file.path)
    if path.is_absolute() or ".." in path.parts or "\0" in file.path or not path.parts:
        raise CollectionFormatError(f"{name} lists {file.path!r}, which leaves the collection")
    return file


def _only(raw: Mapping[str, Any], names: set[str], where: str) -> None:
    if set(raw) != names:
        odd = sorted(set(raw) ^ names)
        raise CollectionFormatError(f"{where}: unknown or missing keys {', '.join(odd)}")


def manifest_path(root: Path, generation: int) -> Path:
    """Where a generation's manifest lies."""
    return root / "manifests" / f"{generation:06}.json"


def read_current(root: Path) -> Manifest:
    """Read the current generation, checked against CURRENT's digest.

    Raises:
        CollectionNotFoundError: No CURRENT: not a collection.
        CollectionDamagedError: CURRENT or the manifest is not what was written.
        CollectionFormatError: The manifest breaks the rules.
    """
    current = root / "CURRENT"
    try:
        line = current.read_bytes().decode("ascii")
    except FileNotFoundError:
        raise CollectionNotFoundError(
            f"{root} is not a collection; make one with: retrieval embed SOURCE -c {root}"
        ) from None
    except UnicodeDecodeError:
        line = ""
    found = _CURRENT.fullmatch(line)
    if found is None:
        raise CollectionDamagedError(
            f"{current} is damaged; write the newest generation and its manifest's sha256 into it"
        )
    path = manifest_path(root, int(found[1]))
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise CollectionDamagedError(f"{path} is missing, though {current} names it") from None
    if hashlib.sha256(data).hexdigest() != found[2]:
        raise CollectionDamagedError(f"{path} is not the manifest that {current} names")
    manifest = Manifest.from_json(data.decode(), str(path))
    if manifest.generation != int(found[1]):
        raise CollectionFormatError(f"{path} says it is generation {manifest.generation}")
    return manifest


def publish_manifest(root: Path, manifest: Manifest) -> None:
    """Write a manifest and then, last of all, point CURRENT at it.

    Raises:
        StorageError: The disk refuses; the older generation stays current.
    """
    text = manifest.to_json()
    write_text(text, manifest_path(root, manifest.generation))
    digest = hashlib.sha256(text.encode()).hexdigest()
    write_text(f"{manifest.generation:06} {digest}\n", root / "CURRENT")


def check_listed(root: Path, file: ListedFile) -> str | None:
    """What is wrong with a listed file by name, place and size; None when nothing is."""
    path = root / file.path
    if not path.resolve().is_relative_to(root.resolve()):
        return f"{path} leads out of the collection"
    if not path.is_file():
        return f"{path} is missing"
    size = path.stat().st_size
    if size != file.bytes:
        return f"{path} has {size} bytes, the manifest says {file.bytes}"
    return None
