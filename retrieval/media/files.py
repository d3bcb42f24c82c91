"""Sources: from the arguments of a command to the files to embed, one by one, in a fixed order.

Names are bytes to the file system. Inside, a path is a string as Python gives it (bytes that are
not UTF-8 as surrogate escapes); what is stored and shown is its uri, which is always valid UTF-8.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from retrieval.errors import SourceError
from retrieval.media.captions import caption_beside
from retrieval.media.lists import LIST_EXTENSIONS, read_list
from retrieval.notices import Notices
from retrieval.types import Medium, Scalar, Source

_IMAGE = (Medium.IMAGE,)
_SOUND = (Medium.AUDIO,)
_CONTAINER = (Medium.VIDEO, Medium.AUDIO)  # may hold sound alone
_ANIMATION = (Medium.IMAGE, Medium.VIDEO)

EXTENSIONS: dict[str, tuple[Medium, ...]] = {
    **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "bmp"), _IMAGE),
    **dict.fromkeys(("tif", "tiff", "psd", "avif", "heic", "heif", "hif", "jxl"), _IMAGE),
    **dict.fromkeys(("dng", "cr2", "cr3", "nef", "nrw", "arw", "sr2", "orf", "rw2"), _IMAGE),
    **dict.fromkeys(("raf", "pef", "srw", "3fr", "iiq", "erf", "mrw", "x3f"), _IMAGE),
    **dict.fromkeys(("gif", "webp"), _ANIMATION),
    **dict.fromkeys(("wav", "flac", "oga", "opus", "mp3", "m4a", "m4b", "aac"), _SOUND),
    **dict.fromkeys(("aif", "aiff", "aifc", "mka", "wma", "amr", "ac3", "eac3"), _SOUND),
    **dict.fromkeys(("wv", "tta", "au", "snd", "caf", "w64", "rf64", "mp2"), _SOUND),
    **dict.fromkeys(("mp4", "m4v", "mov", "mkv", "webm", "avi", "ogg", "ogv", "3gp"), _CONTAINER),
    **dict.fromkeys(("ts", "mts", "m2ts", "m2t", "mpg", "mpeg", "vob", "3g2"), _CONTAINER),
    **dict.fromkeys(("wmv", "asf", "flv", "f4v", "mxf"), _CONTAINER),
}
"""What a file of each extension may hold; a folder's other files are not looked at."""


@dataclass(frozen=True, slots=True)
class OpenFile:
    """One media file that is open for reading, from the disk or from a tar; `name` as it is there.

    The file is seekable and valid until the next one is asked for.
    """

    uri: str
    name: str
    file: BinaryIO
    bytes: int
    mtime: float
    caption: str | None = None
    columns: dict[str, Scalar] = field(default_factory=dict)


def extension(path: str) -> str:
    """Give a name's extension in lower case, without its dot."""
    return os.path.splitext(path)[1][1:].lower()


# ---------------------------------------------------------------- names


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


def is_address(uri: str) -> bool:
    """Whether an imported uri is an address, as `https://…`, and no path of this machine."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", uri) is not None


def uri_to_path(uri: str) -> str:
    """Give back the path that a uri was made from; opens the file whatever bytes its name has."""
    return os.fsdecode(unquote_to_bytes(uri))


# ---------------------------------------------------------------- sources


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


def find_sources(
    arguments: Sequence[str],
    *,
    path_column: str | None = None,
    caption_column: str | None = None,
    notices: Notices | None = None,
) -> Iterator[Source]:
    """List the files to embed, each once, in the arguments' order and by name inside a folder.

    An argument is a folder (read recursively; hidden files, other files than media and links to
    folders are passed over), a file of any name, a tar, a list (CSV, TSV, JSONL, Parquet), a
    Parquet file that holds the media themselves, or a pattern of these: `{000..010}.tar`,
    `{a,b}/*.jpg`, `photos/**/*.png`.

    Args:
        arguments: Paths and patterns.
        path_column: Column of the lists that names the files; by default a usual name is sought.
        caption_column: Column of the lists that holds captions, likewise.
        notices: Told what the lists hold that is not stored as it is.

    Raises:
        SourceError: An argument does not exist, a folder cannot be read, a list is malformed.
    """
    seen: set[str] = set()
    for argument in arguments:
        for source in _sources(argument, path_column, caption_column, notices):
            if source.uri not in seen:
                seen.add(source.uri)
                yield source


def _sources(
    argument: str, path_column: str | None, caption_column: str | None, notices: Notices | None
) -> Iterator[Source]:
    for path in _expand(argument):
        if os.path.isdir(path):
            yield from (_source(found) for found in _walk(path))
        elif path_column is None and _holds_media(path):
            yield replace(_source(path), is_tar=True)
        elif extension(path) in LIST_EXTENSIONS:
            folder = os.path.dirname(os.path.abspath(path))
            for row in read_list(path, path_column, caption_column, notices):
                source = _source(os.path.join(folder, row.path))
                yield Source(
                    source.uri,
                    source.path,
                    is_tar=source.is_tar,
                    caption=row.caption or source.caption,
                    columns=row.columns,
                )
        else:
            yield _source(path)


def _holds_media(path: str) -> bool:
    if extension(path) != "parquet":
        return False
    from retrieval.media.parquet_media import holds_media

    return holds_media(path)


def _source(path: str) -> Source:
    path = os.path.abspath(path)
    return Source(
        uri=path_to_uri(path),
        path=path,
        is_tar=is_tar_name(path),
        caption=caption_beside(path),
    )


def _walk(folder: str) -> Iterator[str]:
    """Yield the media files and tars below a folder, sorted by name folder by folder."""

    def refuse(error: OSError) -> None:
        raise SourceError(
            f"{error.filename}: {error.strerror}; make it readable or leave it out"
        ) from error

    for path, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and _is_media_name(name):
                yield os.path.join(path, name)


def _is_media_name(name: str) -> bool:
    return extension(name) in EXTENSIONS or is_tar_name(name)


# ---------------------------------------------------------------- patterns


def _expand(argument: str) -> Iterator[str]:
    """Yield the paths an argument means; a path that exists means itself, braces and all."""
    if os.path.lexists(argument):
        yield argument
        return
    for pattern in _expand_braces(argument):
        if glob.has_magic(pattern) and not os.path.lexists(pattern):
            yield from _matches(pattern)
        elif os.path.lexists(pattern):
            yield pattern
        else:
            raise SourceError(
                f"{quote(pattern)}: no such file or folder; check the name, or quote the pattern"
            )


def _expand_braces(pattern: str) -> Iterator[str]:
    """Yield every combination of the `{a,b}` and `{000..010}` of a pattern, in order."""
    parts = re.split(r"\{([^{}]*(?:,|\.\.)[^{}]*)\}", pattern)
    fixed, braces = parts[::2], parts[1::2]
    # Not held as lists: {0..999999999} costs no memory before its first missing file.
    if len(braces) == 1:
        for choice in _choices(braces[0]):
            yield f"{fixed[0]}{choice}{fixed[1]}"
        return
    for combination in product(*map(_choices, braces)):
        pieces = zip(fixed, (*combination, ""), strict=True)
        yield "".join(piece for pair in pieces for piece in pair)


def _choices(brace: str) -> Iterator[str]:
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", brace)
    if numbers is None:
        yield from brace.split(",")
        return
    first, last = numbers.groups()
    # As in a shell, {08..10} counts with leading zeros and {8..10} without.
    width = len(first) if first.startswith("0") or last.startswith("0") else 0
    step = 1 if int(first) <= int(last) else -1
    for number in range(int(first), int(last) + step, step):
        yield str(number).zfill(width)


def _matches(pattern: str) -> Iterator[str]:
    """Yield what a wildcard matches; `*` alone takes media only, `*.csv` takes what it names."""
    paths = sorted(glob.glob(pattern, recursive=True))
    if not paths:
        raise SourceError(f"{quote(pattern)}: no file matches; check the pattern")
    named = not glob.has_magic(os.path.splitext(pattern)[1]) and extension(pattern) != ""
    for path in paths:
        if named or os.path.isdir(path) or _is_media_name(path):
            yield path
