"""Recognises drives that are not mounted, whose files must not count as deleted."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from retrieval.media.names import container_of, path_to_uri, uri_to_path


def mount_points(folder: Path, uris: Iterable[str]) -> tuple[str, ...]:
    """Return the URIs of the mount points at or below a folder from which items were embedded."""
    top = str(folder)
    inside = top.rstrip("/") + "/"
    paths = {os.path.dirname(uri_to_path(container_of(uri)[0])) for uri in uris}
    seen: set[str] = set()
    for path in paths:
        while path not in seen and (path == top or path.startswith(inside)):
            seen.add(path)
            path = os.path.dirname(path)
    return tuple(sorted(path_to_uri(path) for path in seen if os.path.ismount(path)))


def unmounted(mounts: Iterable[str], folder: Path) -> list[Path]:
    """Return the mount points at or below a folder that are not mounted."""
    paths = [Path(uri_to_path(uri)) for uri in mounts]
    return [path for path in paths if path.is_relative_to(folder) and not os.path.ismount(path)]
