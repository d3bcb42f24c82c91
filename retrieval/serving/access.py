"""Who may use the server: host names, origins, and tokens."""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

from retrieval.errors import QueryError, StorageError
from retrieval.files.reading import read_text

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
MIN_TOKEN_LENGTH = 16

HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\[\]:]+)(:[0-9]*)?")
"""A `Host` header: a name or an address, and a port."""


def new_token() -> str:
    """Create a random token of 256 bits."""
    return secrets.token_urlsafe(32)


def is_loopback(host: str) -> bool:
    """Whether an address is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_token(path: Path) -> str:
    """Read the token of programs from a file, or write a new one where there is no file.

    Raises:
        QueryError: Other users can read the file, or the token is too short.
        StorageError: The file cannot be read or written.
    """
    try:
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w") as file:
                file.write(new_token() + "\n")
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise QueryError(
                f"{path} has mode {mode:03o}, so other users can access the token; "
                "set it to 600 with chmod"
            )
        token = read_text(path).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise StorageError(f"{path}: cannot read or write the token ({reason})") from error
    if len(token) < MIN_TOKEN_LENGTH or not token.isascii() or not token.isprintable():
        raise QueryError(
            f"{path} must hold one token of at least {MIN_TOKEN_LENGTH} ASCII characters; "
            "delete the file and a new token is written"
        )
    return token


@dataclass(slots=True)
class Access:
    """The names and secrets that a request must show.

    Attributes:
        port: The port, which is part of the cookie's name.
        names: Accepted host names in lower case, without port.
        root_path: Path below which a reverse proxy shows the server, such as `/photos`; or empty.
        bearer: Token of programs; None if there is none.
        session: Value of the cookie; None if no token is needed.
    """

    port: int
    names: frozenset[str] = LOOPBACK_NAMES
    root_path: str = ""
    bearer: str | None = None
    session: str | None = field(default_factory=new_token)
    _one_time: set[str] = field(default_factory=set)

    @property
    def cookie_name(self) -> str:
        """Name of the cookie. Browsers send cookies to all ports of a host."""
        return f"retrieval-{self.port}"

    @property
    def cookie(self) -> str:
        """The header that sets the cookie."""
        return (
            f"{self.cookie_name}={self.session}; Path={self.root_path or '/'}; "
            "HttpOnly; SameSite=Strict"
        )

    def one_time_token(self) -> str:
        """Create a token that opens one session."""
        token = new_token()
        self._one_time.add(token)
        return token

    def use_one_time_token(self, token: str) -> bool:
        """Whether a token is valid; it is not afterwards."""
        for known in self._one_time:
            if _same(known, token):
                self._one_time.remove(known)
                return True
        return False

    def allows_host(self, host: str) -> bool:
        """Whether a `Host` header names this server."""
        found = HOST.fullmatch(host.lower())
        return found is not None and found["name"] in self.names

    def allows_origin(self, origin: str, host: str) -> bool:
        """Whether an `Origin` header is the page of this server."""
        scheme, separator, netloc = origin.lower().partition("://")
        return bool(separator) and scheme in ("http", "https") and netloc == host.lower()

    def is_authenticated(self, headers: Mapping[str, str]) -> bool:
        """Whether the headers hold the session's cookie or the programs' token."""
        if self.session is None:
            return True
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if self.bearer is not None and scheme.lower() == "bearer" and _same(self.bearer, token):
            return True
        try:
            cookies: SimpleCookie = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return False
        morsel = cookies.get(self.cookie_name)
        return morsel is not None and _same(self.session, morsel.value)


def _same(secret: str, given: str) -> bool:
    return hmac.compare_digest(secret.encode(), given.strip().encode("utf-8", "replace"))
