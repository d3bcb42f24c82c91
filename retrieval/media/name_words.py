"""Split the names of files and folders into words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from retrieval.media.names import TAR_NAME, container_of, uri_to_path

_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,4}$")
_ARCHIVE = re.compile(rf"(?:{TAR_NAME}|\.parquet)$", re.IGNORECASE)
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
_DATE = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-_. ]?)(?:0[1-9]|1[0-2])\2(?:0[1-9]|[12]\d|3[01])(?!\d)"
)
_CLOCK = re.compile(r"(?<!\d)[0-2]\d[-.:_][0-5]\d[-.:_][0-5]\d(?!\d)")
_PREFIX = (
    r"(?:^|(?<=[^0-9A-Za-z]))"
    r"(?:IMG|DSC[NF]?|PXL|VID|MVI|MOV|PANO|BURST|GOPR|G[HXLP]|WA|DJI|SAM|CIMG|HPIM)[-_ ]?"
)
_BEFORE_DATE = re.compile(
    _PREFIX + "(?=" + _DATE.pattern.replace(r"\2", "[-_. ]?") + ")", re.IGNORECASE
)
_CAMERA = re.compile(
    _PREFIX + r"\d+(?![0-9A-Za-z])|(?:^|(?<=[^0-9A-Za-z]))[PR]\d{5,}(?![0-9A-Za-z])", re.IGNORECASE
)
_VARIANT = re.compile(r"(?:\.(?:MP|COVER))?(?:~\d+)?$")
_YEAR = re.compile(r"(?:19|20)\d\d")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)*")
_CAMEL = re.compile(
    r"(?<=[a-zß-öø-ÿ])(?=[A-ZÀ-ÖØ-Þ])"  # birthdayParty
    r"|(?<=[A-ZÀ-ÖØ-Þ])(?=[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ])"  # HTTPServer
    r"|(?<=[^\W\d_]{3})(?=\d)|(?<=\d)(?=[^\W\d_]{3})"  # apollo11, but not S01E02
)
_HEX = re.compile(r"(?=[^\W_]*\d)(?=[^\W_]*[a-f])[0-9a-f]{8,}", re.IGNORECASE)

MAX_NUMBER_DIGITS = 3
"""Longer numbers, apart from years, are ids and times."""


def name_text(uri: str, base: str | None) -> str | None:
    """Return the words of a file's name and of the folders below a given one.

    Folders and name are separated by ` / `. Left out are the extension, camera prefixes with their
    counters (`IMG_2024`, `DSC0017`), ids, clock times, and numbers that have a leading zero or over
    three digits and are no years. Of a date, the year stays.

    Args:
        uri: URI of the item.
        base: URI of the given folder; None for a file that was given itself.
    """
    container, member = container_of(uri)
    parts: list[str] = []
    if base is not None and container.startswith(base.rstrip("/") + "/"):
        parts = uri_to_path(container[len(base.rstrip("/")) + 1 :]).split("/")
    else:
        parts = [uri_to_path(container).rpartition("/")[2]]
    if member is not None:
        # Archives count as folders, without their extensions.
        *archives, member = [parts.pop(), *member.split("!")]
        parts += [part for archive in archives for part in _ARCHIVE.sub("", archive).split("/")]
        parts += member.split("/")
    parts[-1] = _VARIANT.sub("", _EXTENSION.sub("", parts[-1]))
    texts = (" ".join(_words(part)) for part in parts)
    return " / ".join(filter(None, texts)) or None


def folder_of(uri: str) -> str:
    """Return the folder of an item with a final `/`; an archive counts as a folder."""
    container, member = container_of(uri)
    path = container if member is None else f"{container}/{member.replace('!', '/')}"
    folder = path.rpartition("/")[0] + "/"
    return folder.encode("utf-8", "replace").decode("utf-8")


def _words(name: str) -> Iterator[str]:
    name = unicodedata.normalize("NFC", name)
    name = _UUID.sub(" ", name)
    # Dates come first: IMG_20240601 is not the number of a picture.
    name = _BEFORE_DATE.sub(" ", name)
    name = _DATE.sub(r" \1 ", name)
    name = _CAMERA.sub(" ", name)
    name = _CLOCK.sub(" ", name)
    for token in _WORD.findall(name):
        if _HEX.fullmatch(token):
            continue
        for word in _CAMEL.split(token):
            if not word.isdecimal() or _is_telling(word):
                yield word


def _is_telling(number: str) -> bool:
    """Whether a number says more than a position or an id: a year, or one as in Apollo 11."""
    if _YEAR.fullmatch(number):
        return True
    return not number.startswith("0") and len(number) <= MAX_NUMBER_DIGITS
