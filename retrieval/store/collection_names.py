"""Expands patterns of collection folders, such as `archive/*`."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from retrieval.errors import CollectionNotFoundError
from retrieval.store.current import read_current


def expand_collections(names: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Return the folders that names and patterns stand for, in order, each once.

    An existing path is never expanded. A pattern stands for the collections among its matches.

    Raises:
        CollectionNotFoundError: A pattern matches no collection.
    """
    folders: dict[Path, None] = {}
    for given in names:
        name = os.fspath(given)
        if os.path.lexists(name) or not glob.has_magic(name):
            folders[Path(name)] = None
            continue
        matches = [Path(match) for match in sorted(glob.glob(name))]
        found = [match for match in matches if match.is_dir() and read_current(match) is not None]
        if not found:
            raise CollectionNotFoundError(f"{name} matches no collection; check the pattern")
        folders |= dict.fromkeys(found)
    return list(folders)
