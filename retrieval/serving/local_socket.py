"""The Unix socket through which `search` on the same machine uses a running server.

This module is imported by every search on the command line: it loads nothing but the standard
library and `platformdirs`.
"""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import warnings
from pathlib import Path
from urllib.parse import quote

MAX_SOCKET_PATH = 103
"""macOS permits 103 bytes, Linux 107."""

VERSION_HEADER = "x-retrieval-version"
GENERATION_HEADER = "x-retrieval-generation"
ROOT_HEADER = "x-retrieval-root"


def program_version() -> str:
    """Return a text that changes when the program is upgraded, without reading its metadata."""
    package = Path(__file__).resolve().parents[1] / "__init__.py"
    return quote(f"{package} {package.stat().st_mtime_ns}")


def socket_folder() -> Path:
    """Return the folder of the sockets of this user."""
    from platformdirs import user_runtime_path

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a folder that it does not use
        return user_runtime_path("retrieval", ensure_exists=False)


def socket_path(root: Path) -> Path:
    """Return the path of the socket for a collection."""
    name = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:16]
    return socket_folder() / f"{name}.sock"


def is_private(path: Path) -> bool:
    """Whether a folder belongs to this user, is no link, and is closed to all others."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.geteuid()
        and not stat.S_IMODE(status.st_mode) & 0o077
    )


def is_own_socket(path: Path) -> bool:
    """Whether a path is a socket of this user in a private folder."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    is_socket = stat.S_ISSOCK(status.st_mode) and status.st_uid == os.geteuid()
    return is_socket and is_private(path.parent)


def listen(root: Path) -> socket.socket | None:
    """Listen on the socket of a collection; None where another server already does.

    Raises:
        OSError: The folder is not private, or the path is too long.
    """
    path = socket_path(root)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_private(path.parent):
        raise PermissionError(f"{path.parent} is not a folder that only this user can enter")
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise OSError(f"{path} is too long for a socket")
    if _answers(path):
        return None
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(path))
        os.chmod(path, 0o600)
        listener.listen()  # a search that connects before the server runs waits for its answer
    except OSError:
        listener.close()
        raise
    return listener


def _answers(path: Path) -> bool:
    """Whether a server accepts connections; a socket that a dead one left does not."""
    if not is_own_socket(path):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1.0)
        try:
            client.connect(os.fspath(path))
        except OSError:
            return False
    return True
