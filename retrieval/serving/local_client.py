"""Asks a running server on this machine; loads nothing but the standard library."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from retrieval.serving.local_socket import (
    GENERATION_HEADER,
    ROOT_HEADER,
    VERSION_HEADER,
    is_own_socket,
    program_version,
    socket_path,
)

CONNECT_SECONDS = 0.5
ANSWER_SECONDS = 30.0

_GENERATION = re.compile(r"0*(\d+) ")


def ask(root: Path, parameters: Mapping[str, str | Sequence[str]]) -> dict[str, Any] | None:
    """Send a search to the server of a collection.

    Args:
        root: Folder of the collection.
        parameters: Parameters of `/api/search`.

    Returns:
        The JSON document, or None if no server of the same version and generation answers.
    """
    path = socket_path(root)
    if not is_own_socket(path):
        return None
    connection = _LocalConnection(os.fspath(path))
    try:
        generation = _GENERATION.match((root / "CURRENT").read_text())
        headers = {
            VERSION_HEADER: program_version(),
            GENERATION_HEADER: generation[1] if generation else "",
            ROOT_HEADER: quote(os.fsencode(os.path.realpath(root))),
            "connection": "close",
        }
        target = f"/api/search?{urlencode(parameters, doseq=True)}"
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        content = response.read()
        document = json.loads(content) if response.status == http.client.OK else None
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return document if isinstance(document, dict) else None


class _LocalConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CONNECT_SECONDS)
        self.sock.connect(self._path)
        self.sock.settimeout(ANSWER_SECONDS)
