"""Opens regular files only: a FIFO waits for its writer for ever, and a device never ends."""

from __future__ import annotations

import errno
import io
import os
import stat

_NOUNS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def check_regular(path: str | os.PathLike[str], status: os.stat_result | None = None) -> None:
    """Refuse what is not a regular file, or a link to one.

    Args:
        path: What the message of the error names.
        status: What `os.stat` says of it; None asks.

    Raises:
        OSError: The path is a FIFO, device, folder or socket, or it cannot be looked at.
    """
    mode = (os.stat(path) if status is None else status).st_mode
    if stat.S_ISREG(mode):
        return
    noun = _NOUNS.get(stat.S_IFMT(mode), "a special file")
    code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
    raise OSError(code, f"is {noun}, expected a regular file", os.fspath(path))


def open_regular(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Open a regular file for reading; never waits.

    Raises:
        OSError: The path is no regular file, or it cannot be opened.
    """
    check_regular(path)  # opening a device can have effects of its own
    # The path can name another file by now, and opening a FIFO would wait.
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
        OSError: The path is no regular file, or it cannot be read.
    """
    with open_regular(path) as file:
        return file.read()


def read_text(path: str | os.PathLike[str], encoding: str = "utf-8") -> str:
    """Read all of a regular file as text.

    Raises:
        OSError: The path is no regular file, or it cannot be read.
        UnicodeDecodeError: Its content is not text of the encoding.
    """
    with io.TextIOWrapper(open_regular(path), encoding) as file:
        return file.read()
