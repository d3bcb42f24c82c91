"""Recognizes collections by their path, expands patterns, and shortens names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable
from glob import glob, has_magic
from pathlib import Path

from retrieval.errors import CollectionNotFoundError, QueryError, short_repr


def is_collection(path: Path) -> bool:
    """Whether a folder is a collection, a damaged one, or one that is being created."""
    if os.path.lexists(path / "CURRENT") or os.path.lexists(path / ".lock.holder"):
        return True
    return next((path / "manifests").glob("*.json"), None) is not None


def is_pattern(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a pattern, such as `archive/*`, and not the name of a file."""
    text = os.path.expanduser(os.fspath(path))
    return has_magic(text) and "\0" not in text and not os.path.lexists(text)


def expand(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Return folders; a pattern stands for the collections that match it, sorted by name.

    A folder that is named twice is returned once.

    Raises:
        CollectionNotFoundError: No collection matches a pattern.
    """
    folders: dict[str, Path] = {}
    for path in paths:
        text = os.path.expanduser(os.fspath(path))
        matches = [Path(text)]
        if is_pattern(path):
            matches = [match for match in map(Path, sorted(glob(text))) if is_collection(match)]
            if not matches:
                raise CollectionNotFoundError(f"no collection matches {text}")
        for match in matches:
            folders.setdefault(os.path.realpath(match), match)
    return list(folders.values())


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Return the last part of each name where it is unique, else the name."""
    names = set(names)
    lasts = Counter(Path(name).name for name in names)
    return {name: Path(name).name if lasts[Path(name).name] == 1 else name for name in names}


def complete_name(text: str, names: Collection[str]) -> str:
    """Return the one of some names that a text is, or whose last part it is.

    Raises:
        QueryError: It is none of them, or may be several.
    """
    if text in names:
        return text
    matching = [name for name in names if Path(name).name == text]
    if len(matching) != 1:
        known = ", ".join(matching or names)
        reason = "may be any of" if matching else "is none of"
        raise QueryError(f"the collection {short_repr(text)} {reason}: {known}")
    return matching[0]
