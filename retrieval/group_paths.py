"""The folders that the names and patterns of several collections stand for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from glob import glob, has_magic
from pathlib import Path

from retrieval.automatic.finding import is_collection
from retrieval.errors import CollectionNotFoundError


def is_pattern(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a pattern, such as `archive/*`, and not the name of a file."""
    text = os.path.expanduser(os.fspath(path))
    return has_magic(text) and not os.path.lexists(text)


def expand(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Return folders; a pattern stands for the collections that match it, sorted by name.

    A folder that is named twice is returned once.

    Raises:
        CollectionNotFoundError: No collection matches a pattern.
    """
    folders: dict[Path, Path] = {}
    for path in paths:
        text = os.path.expanduser(os.fspath(path))
        matches = [Path(text)]
        if is_pattern(path):
            matches = [match for match in map(Path, sorted(glob(text))) if is_collection(match)]
            if not matches:
                raise CollectionNotFoundError(f"no collection matches {text}")
        for match in matches:
            folders.setdefault(match.resolve(), match)
    return list(folders.values())
