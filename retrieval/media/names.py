"""Names of files: bytes to the file system, strings inside, and uris in what is stored.

Inside, a path is a string as Python gives it (bytes that are not UTF-8 as surrogate escapes). What
is stored and shown is its uri, which is always valid UTF-8.
"""

from __future__ import annotations

import os
import re
from urllib.parse import unquote_to_bytes


def extension(path: str) -> str:
    """Give a name's extension in lower case, without its dot."""
    return os.path.splitext(path)[1][1:].lower()


def path_to_uri(path: str | bytes) -> str:
    """Turn a path into the uri that is stored: absolute, `%` and non-UTF-8 bytes as `%XX`."""
    return quote(os.path.abspath(os.fsdecode(path)))


def quote(name: str) -> str:
    """Write `%` and the surrogate escapes of a name as `%XX`; everything else stays as it is."""
    return re.sub(
        "[%\ud800-\udfff]",
        lambda found: "".join(f"%{byte:02X}" for byte in os.fsencode(found[0])),
        name,
    )


def uri_to_path(uri: str) -> str:
    """Give back the path that a uri was made from; opens the file whatever bytes its name has."""
    return os.fsdecode(unquote_to_bytes(uri))


def is_address(uri: str) -> bool:
    """Whether an imported uri is an address, as `https://…`, and no path of this machine."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", uri) is not None


def container_of(uri: str) -> tuple[str, str | None]:
    """Split the uri of an archive's member into the archive's and the member's name, else None."""
    found = re.search(rf"{TAR_NAME}!|\.parquet!", uri, re.IGNORECASE)
    if found is None:
        return uri, None
    return uri[: found.end() - 1], uri_to_path(uri[found.end() :])


TAR_NAME = r"\.(?:tar(?:\.(?:gz|bz2|xz|zstd?))?|tgz|tbz2?|txz|tzst)"


def is_tar_name(name: str) -> bool:
    """Whether a file is a tar by its name, compressed or not."""
    return re.search(rf"{TAR_NAME}$", name, re.IGNORECASE) is not None
