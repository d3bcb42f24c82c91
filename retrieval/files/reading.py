"""Reads regular files only, because a FIFO can block and a device can be endless."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat

from retrieval.files.objects import is_object, object_status, open_object

_NOUNS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def status_of(path: str) -> os.stat_result:
    """Return the status of a file, or of an object such as `s3://bucket/key`.

    Raises:
        OSError: There is no such file, or its status is not accessible.
    """
    return object_status(path) if is_object(path) else os.stat(path)


def check_regular(path: str | os.PathLike[str], status: os.stat_result | None = None) -> None:
    """Refuse anything but a regular file or a link to one.

    Args:
        path: The path, named in the error message.
        status: Its `os.stat` result; None calls `os.stat`.

    Raises:
        OSError: The path is a FIFO, device, folder or socket, or its status cannot be read.
    """
    mode = (status_of(os.fspath(path)) if status is None else status).st_mode
    if stat.S_ISREG(mode):
        return
    noun = _NOUNS.get(stat.S_IFMT(mode), "a special file")
    code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
    raise OSError(code, f"is {noun}, expected a regular file", os.fspath(path))


def open_regular(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Open a regular file for reading without blocking; an object is copied first.

    Raises:
        OSError: The path is not a regular file, or it cannot be opened.
    """
    if is_object(path):
        return open_object(os.fspath(path))
    check_regular(path)  # opening a device can have side effects
    # The path may be a FIFO by now, whose opening would block.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        check_regular(path, os.fstat(handle))
    except OSError:
        os.close(handle)
        raise
    return open(handle, "rb")


def read_regular(path: str | os.PathLike[str]) -> bytes:
    """Read all of a regular file.

    Raises:
        OSError: The path is not a regular file, or it cannot be read.
    """
    with open_regular(path) as file:
        return file.read()


def read_text(path: str | os.PathLike[str], encoding: str = "utf-8") -> str:
    """Read all of a regular file as text.

    Raises:
        OSError: The path is not a regular file, or it cannot be read.
        UnicodeDecodeError: The content is not valid in the encoding.
    """
    with io.TextIOWrapper(open_regular(path), encoding) as file:
        return file.read()


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Compute the sha256 of a regular file, in hex.

    Raises:
        OSError: The path is not a regular file, or it cannot be read.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
