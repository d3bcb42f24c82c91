"""Builds the tree of the folders that contain a collection's items."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from retrieval.media.names import TAR_NAME

MAX_FOLDERS = 2_000
"""The tree shows the folders with the most items."""


@dataclass(slots=True)
class _Folder:
    name: str
    items: int = 0
    folders: dict[str, _Folder] = field(default_factory=dict)


def folder_tree(uris: pa.ChunkedArray) -> dict[str, Any] | None:
    """Return the folders below the last one that contains everything; None without items.

    A node has `name`, `path`, `items` with those of its folders, `where`, a condition that selects
    them, and `folders`. An archive counts as a folder.

    Args:
        uris: Uris of the items.
    """
    archives = pc.replace_substring_regex(uris, rf"(?i)({TAR_NAME}|\.parquet)!.*$", r"\1/")
    folders = pc.replace_substring_regex(archives, "/[^/]*$", "")
    counts = pc.value_counts(folders).to_pylist()
    kept = heapq.nlargest(MAX_FOLDERS, counts, key=lambda row: row["counts"])
    if not kept:
        return None
    root = _Folder("")
    for row in kept:
        _add(root, str(row["values"]).split("/"), row["counts"])
    path = ""
    while len(root.folders) == 1 and not _own_items(root):
        (root,) = root.folders.values()
        path = f"{path}/{root.name}" if path or root.name else ""
    return _node(root, path)


def _add(root: _Folder, names: list[str], items: int) -> None:
    folder = root
    folder.items += items
    for name in names:
        folder = folder.folders.setdefault(name, _Folder(name))
        folder.items += items


def _own_items(folder: _Folder) -> int:
    return folder.items - sum(each.items for each in folder.folders.values())


def _node(folder: _Folder, path: str) -> dict[str, Any]:
    escaped = path.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    text = escaped.replace("'", "''")
    return {
        "name": folder.name,
        "path": path,
        "items": folder.items,
        "where": f"(uri LIKE '{text}/%' ESCAPE '\\' OR uri LIKE '{text}!%' ESCAPE '\\')",
        "folders": [
            _node(child, f"{path}/{child.name}")
            for child in sorted(folder.folders.values(), key=lambda each: each.name)
        ],
    }
