"""Converts rows of foreign tables to items."""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from retrieval.columns.notices import Notices
from retrieval.columns.types import clean_text, convert_value
from retrieval.exchange.options import ImportOptions
from retrieval.files.reading import file_sha256
from retrieval.media.captions import join_captions
from retrieval.media.files import EXTENSIONS
from retrieval.media.lists.rows import CAPTION_COLUMNS, PATH_COLUMNS, to_columns
from retrieval.media.names import container_of, extension, path_to_uri, quote, uri_to_path
from retrieval.types import MediaInfo, Medium

URI_COLUMNS = (*PATH_COLUMNS, "uri", "url")
"""Columns that can hold the path or address of an item, in order of preference."""

ITEM_COLUMNS = frozenset(
    {"item_id", "uri", "modality", "medium", "start_seconds", "end_seconds", "bytes", "mtime",
     "sha256", "width", "height", "duration_seconds", "caption"}
)  # fmt: skip
"""Columns that describe the item itself; all others are user columns."""

Row = Mapping[str, object]


class ItemReader:
    """Converts the rows of a source to items.

    Args:
        base: Folder that relative paths start from.
        options: Names of the columns, columns to keep, and the default modality.
        exported: Whether the rows are an export of this program, whose uris stay unchanged.
        notices: Receives notices about values that are stored in another form.

    Attributes:
        path_columns: Columns that can name the items.
    """

    def __init__(
        self,
        base: Path,
        options: ImportOptions | None = None,
        *,
        exported: bool = False,
        notices: Notices | None = None,
    ) -> None:
        options = options or ImportOptions()
        self._base = base
        self._options = options
        self._exported = exported
        self._notices = notices or Notices()
        self.path_columns = ("uri",) if exported else URI_COLUMNS
        if options.path_column:
            self.path_columns = (options.path_column,)
        self._caption_columns = (
            (options.caption_column,) if options.caption_column else CAPTION_COLUMNS
        )
        self._read_columns: set[str] = set()

    def missing_columns(self) -> set[str]:
        """Return the columns to keep or to leave out that no row had."""
        return {*(self._options.columns or ()), *self._options.drop} - self._read_columns

    def uri(self, row: Row, default: str) -> str:
        """Return the item's uri, or `default`, quoted, if the row names no file."""
        _, value = _first_value(row, self.path_columns)
        if not isinstance(value, str) or not value or "\0" in value:
            return quote(clean_text(default))
        if self._exported or re.match(r"[a-z][a-z0-9+.-]*://", value, re.IGNORECASE):
            return clean_text(value)
        return path_to_uri(os.path.join(self._base, value))

    def info(self, row: Row, uri: str, *, source: str = "", location: str = "") -> MediaInfo:
        """Convert a row to an item; notices refer to `source` and `location`."""
        path_column, _ = _first_value(row, self.path_columns)
        caption_column, caption = _first_value(row, self._caption_columns)
        item_columns = ITEM_COLUMNS | {path_column, caption_column}
        if self._exported:
            item_columns |= {"image_path"}  # repeats the uri for other tools
        size, mtime, sha256 = self._file(uri, row)
        return MediaInfo(
            uri=uri,
            modality=self.modality(row, uri),
            bytes=size,
            mtime=mtime,
            sha256=sha256,
            width=_natural(row.get("width"), 2**31),
            height=_natural(row.get("height"), 2**31),
            duration_seconds=_number(row.get("duration_seconds")),
            caption=join_captions([caption]),
            columns=to_columns(
                {
                    name: value
                    for name, value in row.items()
                    if name not in item_columns and self._is_selected(name)
                },
                self._notices,
                source=source,
                place=location,
            ),
        )

    def _is_selected(self, name: str) -> bool:
        self._read_columns.add(name)
        columns = self._options.columns
        return name not in self._options.drop and (columns is None or name in columns)

    def modality(self, row: Row, uri: str) -> Medium:
        """Return the modality by the row, else by the extension, else by the options."""
        name = container_of(uri)[1] or uri
        by_name = EXTENSIONS.get(extension(name), (self._options.medium,))[0]
        return parse_medium(row.get("modality")) or by_name

    def _file(self, uri: str, row: Row) -> tuple[int, float, str]:
        """Return size, time and digest of an existing file, or else those in the row."""
        size, mtime = _natural(row.get("bytes"), 2**63), _number(row.get("mtime"))
        sha256 = row.get("sha256")
        known = size is not None and mtime is not None and isinstance(sha256, str)
        stored = (size or 0, mtime or 0.0, str(sha256)) if known else (0, 0.0, "")
        if "://" in uri or container_of(uri)[1] is not None:
            return stored
        try:
            path = uri_to_path(uri)
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):
                return stored
            if known and (status.st_size, status.st_mtime) == stored[:2]:
                return stored
            digest = file_sha256(path) if self._options.digest else ""
            return status.st_size, status.st_mtime, digest
        except (OSError, ValueError):
            return stored


def segment_of(row: Row, info: MediaInfo) -> tuple[Medium, float, float]:
    """Return medium, start and end of the segment that a row's vector embeds.

    The times of an image are NaN. If a row has no times but the item's duration, the segment is
    the whole recording or video.
    """
    medium = parse_medium(row.get("medium")) or info.modality
    if info.modality is Medium.IMAGE:
        return medium, math.nan, math.nan
    start, end = _number(row.get("start_seconds")), _number(row.get("end_seconds"))
    if start is None and end is None and info.duration_seconds:
        return medium, 0.0, info.duration_seconds
    return medium, math.nan if start is None else start, math.nan if end is None else end


def parse_medium(value: object) -> Medium | None:
    """Return the medium that a value names, or None."""
    return next((medium for medium in Medium if medium.value == value), None)


def _first_value(row: Row, names: tuple[str, ...]) -> tuple[str | None, object]:
    """Return the first of some columns that has a value; exact names come before other cases."""
    for name in names:
        if row.get(name) is not None:
            return name, row[name]
    folded = {name.casefold(): name for name in row}
    for name in names:
        stored = folded.get(name)
        if stored is not None and row[stored] is not None:
            return stored, row[stored]
    return None, None


def _number(value: object) -> float | None:
    number = convert_value(value).value
    if isinstance(number, (int, float)) and not isinstance(number, bool):
        return float(number)
    return None


def _natural(value: object, limit: int) -> int | None:
    """Convert a number from 0 to below `limit` to an integer; return None for any other value."""
    number = _number(value)
    return int(number) if number is not None and 0 <= number < limit else None
