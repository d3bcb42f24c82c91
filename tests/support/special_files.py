"""Things in the file system that are no regular files."""

import os
import socket
from collections.abc import Callable
from pathlib import Path


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(path.parent, os.O_RDONLY)
        try:  # the names of sockets are short: bound by way of the folder's descriptor
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)


MAKERS: dict[str, Callable[[Path], None]] = {
    "a FIFO": os.mkfifo,
    "a folder": Path.mkdir,
    "a socket": _socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
}
"""By what error messages call it: makes one of a name that is free."""


def replace_by(path: Path, noun: str) -> None:
    """Put a special file in the place of a regular one."""
    path.unlink(missing_ok=True)
    MAKERS[noun](path)
