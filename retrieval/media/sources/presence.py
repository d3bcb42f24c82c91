"""Check whether the file of an item still exists."""

from __future__ import annotations

import os

from retrieval.files.reading import status_of
from retrieval.media.names import container_of, uri_to_path


def file_status(uri: str) -> os.stat_result | None:
    """Return the status of an item's file or archive; None if it does not exist.

    Raises:
        OSError: The status is not accessible, as in a folder without permission.
    """
    try:
        return status_of(uri_to_path(container_of(uri)[0]))
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_missing(uri: str) -> bool:
    """Whether the file of an item is known not to exist; False for URIs that are not paths."""
    if not os.path.isabs(uri) or "://" in uri:
        return False
    try:
        return file_status(uri) is None
    except (OSError, ValueError):
        return False
