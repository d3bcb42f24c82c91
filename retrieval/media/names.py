"""Convert between file paths and the URIs that a collection stores.

A path is a Python string with non-UTF-8 bytes as surrogate escapes. A URI is valid UTF-8.
"""

from __future__ import annotations

import os
import re
from urllib.parse import unquote_to_bytes


def extension(path: str) -> str:
    """Return a name's extension in lower case, without its dot."""
    stem, _, suffix = path.rpartition(".")
    if stem and stem[-1] not in "/." and "/" not in suffix:
        return suffix.lower()
    return os.path.splitext(path)[1][1:].lower()  # dots at the start of a name belong to it


def path_to_uri(path: str | bytes) -> str:
    """Return the URI of a path: absolute, with `%` and non-UTF-8 bytes as `%XX`."""
    return quote(os.path.abspath(os.fsdecode(path)))


_QUOTED = re.compile("[%\ud800-\udfff]")


def quote(name: str) -> str:
    """Write `%` and surrogate escapes as `%XX`, leaving all other characters."""
    return _QUOTED.sub(
        lambda match: "".join(f"%{byte:02X}" for byte in os.fsencode(match[0])), name
    )


def uri_to_path(uri: str) -> str:
    """Return the path that `path_to_uri` was given, including non-UTF-8 bytes."""
    if uri.isascii() and "%" not in uri:
        return uri
    return os.fsdecode(unquote_to_bytes(uri))


def is_address(uri: str) -> bool:
    """Whether an imported URI is an address such as `https://…` and not a local path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", uri) is not None


TAR_NAME = r"\.(?:tar(?:\.(?:gz|bz2|xz|zstd?))?|tgz|tbz2?|txz|tzst)"
_ARCHIVE = re.compile(rf"{TAR_NAME}!|\.parquet!", re.IGNORECASE)


def container_of(uri: str) -> tuple[str, str | None]:
    """Split the URI of an archive member into the archive's URI and the member's name.

    The name is None for a file outside archives.
    """
    match = _ARCHIVE.search(uri) if "!" in uri else None
    if match is None:
        return uri, None
    return uri[: match.end() - 1], uri_to_path(uri[match.end() :])


_TAR_END = re.compile(rf"{TAR_NAME}$", re.IGNORECASE)


def is_tar_name(name: str) -> bool:
    """Whether a name has the extension of a tar, compressed or not."""
    return _TAR_END.search(name) is not None
