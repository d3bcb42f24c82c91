"""Open the file of a hit, on the disk or inside an archive."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from retrieval.errors import MediaError, UnsupportedMediaError
from retrieval.files.reading import open_regular
from retrieval.media.archives.members import open_member
from retrieval.media.names import container_of, is_address, uri_to_path


@contextmanager
def open_source(uri: str) -> Iterator[BinaryIO]:
    """Open the file of a uri for reading; each call has a position of its own.

    Raises:
        MediaError: The file is missing, not a regular file, or an address.
    """
    container, member = container_of(uri)
    path = local_path(container)
    if member is not None:
        with open_member(path, member) as file:
            yield file
        return
    try:
        file = open_regular(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnsupportedMediaError(f"the file cannot be opened ({reason})") from error
    with file:
        yield file


def local_path(uri: str) -> str:
    """Return the path of a file that is not inside an archive.

    Raises:
        MediaError: The uri is an address, or names a member of an archive.
    """
    if is_address(uri):
        raise UnsupportedMediaError("an address; only files on this machine are exported")
    if container_of(uri)[1] is not None:
        raise UnsupportedMediaError("inside an archive, where other programs cannot open it")
    path = uri_to_path(uri)
    if not os.path.isabs(path):
        raise UnsupportedMediaError("not an absolute path; search the collection again")
    return path


def reason_of(error: BaseException) -> str:
    """Return the message of an error as one line."""
    if isinstance(error, OSError) and not isinstance(error, MediaError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
