"""From a row of another tool to an item: its uri, what it is, and what is known of its file."""

from __future__ import annotations

import hashlib
import math
import os
import re
import stat
from collections.abc import Collection, Mapping
from pathlib import Path

from retrieval.columns.notices import Notices
from retrieval.columns.types import clean_text, to_scalar
from retrieval.files.reading import open_regular
from retrieval.media.captions import join_captions
from retrieval.media.files import EXTENSIONS
from retrieval.media.lists.rows import CAPTION_COLUMNS, PATH_COLUMNS, to_columns
from retrieval.media.names import container_of, extension, path_to_uri, quote, uri_to_path
from retrieval.types import MediaInfo, Medium

URI_COLUMNS = (*PATH_COLUMNS, "uri", "url")
"""Columns that say where an item is, the best first."""

OWN_COLUMNS = frozenset(
    {"item_id", "uri", "modality", "medium", "start_seconds", "end_seconds", "bytes", "mtime",
     "sha256", "width", "height", "duration_seconds", "caption"}
)  # fmt: skip
"""Columns that say something of the item itself; all others are kept as the user's."""

Row = Mapping[str, object]


class Describer:
    """Reads the columns of rows.

    Args:
        base: Folder that relative paths start from.
        exported: The rows are an export of this program: their uris are taken as they are.
        medium: What an item is where neither a column nor its name's extension says.
        path_column: Column that holds the paths or addresses; by default a usual name is sought.
        caption_column: Column that holds the captions, likewise.
        digest: Read the files that exist for their sha256.
        columns: The columns to keep beside those that describe the item; None keeps all.
        drop: Columns to leave out.
        notices: Told of values that are not stored as they are.
    """

    def __init__(
        self,
        base: Path,
        *,
        exported: bool = False,
        medium: Medium = Medium.IMAGE,
        path_column: str | None = None,
        caption_column: str | None = None,
        digest: bool = True,
        columns: Collection[str] | None = None,
        drop: Collection[str] = (),
        notices: Notices | None = None,
    ) -> None:
        self._base = base
        self._exported = exported
        self._medium = medium
        self._path_columns = (path_column,) if path_column else URI_COLUMNS
        if exported and not path_column:
            self._path_columns = ("uri",)
        self._caption_columns = (caption_column,) if caption_column else CAPTION_COLUMNS
        self._digest = digest
        self._columns = None if columns is None else frozenset(columns)
        self._drop = frozenset(drop)
        self._found: set[str] = set()
        self._notices = notices or Notices()

    @property
    def path_columns(self) -> tuple[str, ...]:
        """Columns that may name the items."""
        return self._path_columns

    def missing_columns(self) -> list[str]:
        """Columns that were to be kept or left out, and that no row had."""
        return sorted(((self._columns or frozenset()) | self._drop) - self._found)

    def uri(self, row: Row, place: str) -> str:
        """The item's uri; `place` stands for it where the row names no file."""
        _, value = _first(row, self._path_columns)
        if not isinstance(value, str) or not value or "\0" in value:
            return quote(clean_text(place))
        if self._exported or re.match(r"[a-z][a-z0-9+.-]*://", value, re.IGNORECASE):
            return clean_text(value)
        return path_to_uri(os.path.join(self._base, value))

    def info(self, row: Row, uri: str, *, source: str = "", place: str = "") -> MediaInfo:
        """What a row says of its item; `source` and `place` are where notices find the row."""
        path_column, _ = _first(row, self._path_columns)
        caption_column, caption = _first(row, self._caption_columns)
        own = OWN_COLUMNS | {path_column, caption_column}
        if self._exported:
            own |= {"image_path"}  # the uri again, for other tools
        size, mtime, sha256 = self._file(uri, row)
        return MediaInfo(
            uri=uri,
            modality=self.modality(row, uri),
            bytes=size,
            mtime=mtime,
            sha256=sha256,
            width=_whole(row.get("width"), 2**31),
            height=_whole(row.get("height"), 2**31),
            duration_seconds=_number(row.get("duration_seconds")),
            caption=join_captions([caption]),
            columns=to_columns(
                {
                    name: value
                    for name, value in row.items()
                    if name not in own and self._keep(name)
                },
                self._notices,
                source=source,
                place=place,
            ),
        )

    def _keep(self, name: str) -> bool:
        self._found.add(name)
        return name not in self._drop and (self._columns is None or name in self._columns)

    def modality(self, row: Row, uri: str) -> Medium:
        """What an item is: as its row says, else as its name does."""
        name = container_of(uri)[1] or uri
        by_name = EXTENSIONS.get(extension(name), (self._medium,))[0]
        return medium_named(row.get("modality")) or by_name

    def _file(self, uri: str, row: Row) -> tuple[int, float, str]:
        """Bytes, time and digest: of the file where it exists, else as the row says."""
        said = (_whole(row.get("bytes"), 2**63), _number(row.get("mtime")), row.get("sha256"))
        size, mtime, sha256 = said
        known = size is not None and mtime is not None and isinstance(sha256, str)
        told = (size or 0, mtime or 0.0, str(sha256)) if known else (0, 0.0, "")
        if "://" in uri or container_of(uri)[1] is not None:
            return told
        try:
            path = uri_to_path(uri)
            found = os.stat(path)
            if not stat.S_ISREG(found.st_mode):
                return told
            if known and (found.st_size, found.st_mtime) == told[:2]:
                return told
            return found.st_size, found.st_mtime, _digest(path) if self._digest else ""
        except (OSError, ValueError):
            return told


def segment_of(row: Row, info: MediaInfo) -> tuple[Medium, float, float]:
    """What of its item a row's vector embeds: the medium, and from when to when.

    NaN stands for no time, which an image has none of. A recording's or video's only vector may
    leave its times out where the row says how long the item is.
    """
    medium = medium_named(row.get("medium")) or info.modality
    if info.modality is Medium.IMAGE:
        return medium, math.nan, math.nan
    start, end = _number(row.get("start_seconds")), _number(row.get("end_seconds"))
    if start is None and end is None and info.duration_seconds:
        return medium, 0.0, info.duration_seconds
    return medium, math.nan if start is None else start, math.nan if end is None else end


def _first(row: Row, names: tuple[str, ...]) -> tuple[str | None, object]:
    """The first of some columns that a row has, in any case where it must be, and its value."""
    for name in names:
        if row.get(name) is not None:
            return name, row[name]
    folded = {name.casefold(): name for name in row}
    for name in names:
        other = folded.get(name)
        if other is not None and row[other] is not None:
            return other, row[other]
    return None, None


def medium_named(value: object) -> Medium | None:
    """The medium that a value of a row names."""
    return next((medium for medium in Medium if medium.value == value), None)


def _number(value: object) -> float | None:
    number = to_scalar(value)
    return (
        float(number) if isinstance(number, (int, float)) and not isinstance(value, bool) else None
    )


def _whole(value: object, limit: int) -> int | None:
    """A whole number that the items' columns can hold."""
    number = _number(value)
    return int(number) if number is not None and 0 <= number < limit else None


def _digest(path: str) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
