"""Sends requests to a server by HTTP; loads nothing but the standard library."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Any
from urllib.parse import urlencode, urlsplit

from retrieval.errors import MediaTooLargeError, QueryError, RetrievalError, ServerError

ANSWER_SECONDS = 150.0
"""Longest pause of a server; it receives and embeds files in less."""

Parameters = Mapping[str, str | Sequence[str]]


class UnknownNameError(ServerError):
    """The server knows no such collection or file."""


class HttpClient:
    """The address of a server, and the token that it requires.

    Each request has a connection of its own, so threads and forked processes can share one object.

    Args:
        address: Such as `http://127.0.0.1:8765` or `https://photos.example.org/search`.
        token: The server's token of programs; None if it requires none.

    Raises:
        QueryError: The address or the token cannot be one.
    """

    def __init__(self, address: str, token: str | None = None) -> None:
        try:
            parts = urlsplit(address)
            port = parts.port
        except ValueError as error:
            raise QueryError(f"{address[:100]!r} is not an address: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise QueryError(f"an address is like http://127.0.0.1:8765, got {address[:100]!r}")
        if parts.query or parts.fragment or parts.username is not None:
            raise QueryError(
                "an address has no ?, # or user name; the token of an address that a server prints "
                "is for browsers, programs pass the token of the server's token file"
            )
        if token is not None and not (token.isascii() and token.strip().isprintable()):
            raise QueryError("a token consists of printable ASCII characters")
        if not parts.path.isascii() or not parts.path.isprintable() or " " in parts.path:
            raise QueryError(f"the path {parts.path[:100]!r} must be percent-encoded")
        self.address = address.rstrip("/")
        self._is_secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, port
        self._path = parts.path.rstrip("/")
        self._headers = {"accept": "application/json", "connection": "close"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token.strip()}"
        self._has_token = token is not None

    def get(self, route: str, parameters: Parameters | None = None) -> dict[str, Any]:
        """Return the JSON object of a route.

        Raises:
            UnknownNameError: The server knows no such collection or file.
            ServerError: It does not answer, refuses the request, or is overloaded.
            QueryError: A parameter is invalid.
        """
        return self._request("GET", route, parameters or {})

    def post(self, route: str, parameters: Parameters, body: IO[bytes], size: int) -> None:
        """Send a file of `size` bytes; see `get` for errors.

        Raises:
            MediaTooLargeError: The server takes no files of this size.
        """
        self._request("POST", route, parameters, body, size)

    def _request(
        self,
        method: str,
        route: str,
        parameters: Parameters,
        body: IO[bytes] | None = None,
        size: int = 0,
    ) -> dict[str, Any]:
        target = f"{self._path}{route}"
        if parameters:
            target += f"?{urlencode(parameters, doseq=True)}"
        headers = dict(self._headers)
        if body is not None:
            headers |= {"content-length": str(size), "content-type": "application/octet-stream"}
        kind = http.client.HTTPSConnection if self._is_secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=ANSWER_SECONDS)
        try:
            connection.connect()
            # A server that refuses a body answers before it has read it.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, target, body, headers)
            response = connection.getresponse()
            status, content = response.status, response.read()
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise ServerError(
                f"the server at {self.address} does not answer ({reason}); check the address, and "
                "that it runs"
            ) from error
        finally:
            connection.close()
        return self._document(status, content)

    def _document(self, status: int, content: bytes) -> dict[str, Any]:
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            document = None
        if isinstance(document, dict) and status == http.client.OK:
            return document
        reason = document.get("error") if isinstance(document, dict) else None
        if not isinstance(reason, str):
            raise ServerError(
                f"no retrieval server answers at {self.address}: it returned status {status}"
            )
        raise self._error(status, " ".join(reason.split()))

    def _error(self, status: int, reason: str) -> RetrievalError:
        if status == 401 and self._has_token:
            return ServerError(
                f"the server at {self.address} refuses the token; pass the one in its token file"
            )
        if status == 401:
            return ServerError(
                f"the server at {self.address} requires a token; pass the one in its token file"
            )
        if status == 404:
            return UnknownNameError(f"{self.address}: {reason}")
        if status == 413:
            return MediaTooLargeError(reason)
        if status == 422:
            return QueryError(reason)
        return ServerError(f"{self.address}: {reason}")
