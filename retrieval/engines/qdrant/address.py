"""Addresses of pushed collections: a Qdrant server or folder, and a name."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from retrieval.errors import QueryError, short_repr

PORT = 6333

MAX_NAME = 200
"""Bytes of a name. Qdrant allows 255; names of generations are longer."""

# pathlib merges the two slashes of an address into one.
_SERVER = re.compile(r"(?P<scheme>qdrants?):/{1,2}(?P<rest>[^/].*)", re.DOTALL)
_FOLDER = re.compile(r"qdrant\+file:(?P<folder>[^#]+)(?:#(?P<name>.*))?", re.DOTALL)
_REFUSED = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')

FORMS = "qdrant://HOST:6333/NAME, qdrants://HOST:6333/NAME or qdrant+file:FOLDER#NAME"


@dataclass(frozen=True, slots=True)
class QdrantAddress:
    """A server or a folder of qdrant-client's local mode, and the name of a collection there.

    Attributes:
        url: `http://HOST:PORT` or `https://HOST:PORT`; None for a folder.
        folder: The folder; None for a server.
        name: Name of the pushed collection, an alias in Qdrant; None if it is not given.

    Raises:
        QueryError: Qdrant refuses the name.
    """

    url: str | None
    folder: Path | None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.name is not None:
            check_name(self.name)

    @classmethod
    def parse(cls, text: str) -> QdrantAddress:
        """Parse an address of one of the forms of `FORMS`.

        Raises:
            QueryError: The address has another form, contains a key, or a name that Qdrant refuses.
        """
        folder = _FOLDER.fullmatch(text)
        if folder is not None:
            return cls(None, Path(folder["folder"]).expanduser(), folder["name"])
        server = _SERVER.fullmatch(text)
        if server is None:
            raise QueryError(f"{short_repr(text)} is not the address of a Qdrant; expected {FORMS}")
        try:
            parts = urlsplit(f"//{server['rest']}")
            host, port = parts.hostname, parts.port or PORT
        except ValueError as error:
            raise QueryError(f"the address of the Qdrant is not valid ({error})") from error
        if parts.username is not None or parts.query or parts.fragment or not host:
            raise QueryError(
                f"the address of a Qdrant has the form {FORMS}; "
                "its key comes from the environment variable QDRANT_API_KEY"
            )
        shown = f"[{host}]" if ":" in host else host
        scheme = "https" if server["scheme"] == "qdrants" else "http"
        return cls(f"{scheme}://{shown}:{port}", None, parts.path.strip("/") or None)

    def named(self, name: str) -> QdrantAddress:
        """Return the same place with another name."""
        return replace(self, name=name)

    @property
    def place(self) -> str:
        """The server or folder, as messages show it."""
        return str(self.folder) if self.url is None else self.url.partition("//")[2]

    def __str__(self) -> str:
        if self.url is None:
            return f"qdrant+file:{self.folder}" + (f"#{self.name}" if self.name else "")
        scheme = "qdrants" if self.url.startswith("https") else "qdrant"
        return f"{scheme}://{self.place}" + (f"/{self.name}" if self.name else "")


def is_qdrant_address(text: str) -> bool:
    """Whether a text is meant as the address of a Qdrant, valid or not."""
    return text.startswith(("qdrant:", "qdrants:", "qdrant+file:"))


def check_name(name: str) -> None:
    """Refuse names of collections that Qdrant refuses.

    Raises:
        QueryError: The name is empty, too long, or contains a refused character.
    """
    reason = None
    refused = _REFUSED.search(name)
    if not name or name in (".", ".."):
        reason = "it must have at least one other character than a point"
    elif refused is not None:
        reason = f"the character {refused[0]!r} is not allowed"
    elif len(name.encode(errors="replace")) > MAX_NAME:
        reason = f"it has more than {MAX_NAME} bytes"
    if reason is not None:
        raise QueryError(f"{short_repr(name)} cannot be a name in Qdrant: {reason}")


def default_name(folder: Path) -> str:
    """Return the name under which a folder is pushed if none is given."""
    name = _REFUSED.sub("-", folder.name).strip(". ")
    return name.encode()[:MAX_NAME].decode(errors="ignore") or "collection"
