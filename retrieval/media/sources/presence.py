"""Whether the file of an item is still there."""

from __future__ import annotations

import os

from retrieval.media.names import container_of, uri_to_path


def status_of(uri: str) -> os.stat_result | None:
    """What the system says of a file, or of the tar that holds it; None where it is gone.

    Raises:
        OSError: It cannot be known, as in a folder without permission.
    """
    try:
        return os.stat(uri_to_path(container_of(uri)[0]))
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_missing(uri: str) -> bool:
    """Whether the file of an item is gone; an address, or what no file was named for, never is."""
    if not os.path.isabs(uri) or "://" in uri:
        return False
    try:
        return status_of(uri) is None
    except (OSError, ValueError):
        return False
