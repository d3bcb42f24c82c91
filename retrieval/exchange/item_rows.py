"""Converts rows of foreign tables to items."""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retrieval.columns.arrow import python_values
from retrieval.columns.notices import Notices
from retrieval.columns.types import clean_text, convert_value
from retrieval.exchange.descriptions import Descriptions
from retrieval.exchange.item_columns import plain_uris, with_values
from retrieval.exchange.options import ImportOptions
from retrieval.files.reading import file_sha256
from retrieval.media.captions import join_captions
from retrieval.media.files import EXTENSIONS
from retrieval.media.lists.formats import Row
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


_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class ItemReader:
    """Converts the rows of a source to items.

    Args:
        base: Folder that relative paths start from.
        options: Names of the columns, columns to keep, and the default modality.
        exported: Whether the rows are an export of this program, whose uris stay unchanged.
        notices: Receives notices about values that are stored in another form.

    Attributes:
        path_columns: Columns that can name the items.
        caption_columns: Columns that can hold captions.
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
        self.caption_columns = (
            (options.caption_column,) if options.caption_column else CAPTION_COLUMNS
        )
        self._read_columns: set[str] = set()

    def missing_columns(self) -> set[str]:
        """Return the columns to keep or to leave out that no row had."""
        return {*(self._options.columns or ()), *self._options.drop} - self._read_columns

    def uri(self, row: Row, default: str) -> str:
        """Return the item's uri, or `default`, quoted, if the row names no file."""
        _, value = _first_value(row, self.path_columns)
        return self.uri_of(value) or quote(clean_text(default))

    def uris(self, descriptions: Descriptions, path: Path, first_row: int) -> pa.Array:
        """Return the uri of each row of a file, as `uri` does; strings, none null."""
        base = f"{path.absolute()}#"
        columns = descriptions.columns
        if columns is not None and (chosen := first_filled(columns, self.path_columns)).is_only:
            if chosen.name is None:
                numbers = np.arange(first_row, first_row + descriptions.count)
                texts = pa.array(numbers).cast(pa.string())
                return pc.binary_join_element_wise(quote(clean_text(base)), texts, "")
            named = columns[chosen.name]
            uris = plain_uris(named, str(self._base), exported=self._exported)
            others = uris.is_null().to_numpy(zero_copy_only=False)
            values = python_values(named) if others.any() else []
            return with_values(
                uris,
                others,
                lambda row: (
                    self.uri_of(values[row]) or quote(clean_text(f"{base}{first_row + row}"))
                ),
            )
        rows = enumerate(descriptions.rows(), first_row)
        return pa.array([self.uri(row, f"{base}{number}") for number, row in rows], pa.string())

    def uri_of(self, value: object) -> str | None:
        """Return the uri of the value of a path column; None if it names no file."""
        if not isinstance(value, str) or not value or "\0" in value:
            return None
        if self._exported or _ADDRESS.match(value):
            return clean_text(value)
        return path_to_uri(os.path.join(self._base, value))

    def info(self, row: Row, uri: str, *, source: str = "", location: str = "") -> MediaInfo:
        """Convert a row to an item; notices refer to `source` and `location`."""
        path_column, _ = _first_value(row, self.path_columns)
        caption_column, caption = _first_value(row, self.caption_columns)
        size, mtime, sha256 = self.file_state(
            uri,
            _natural(row.get("bytes"), 2**63),
            _number(row.get("mtime")),
            row.get("sha256"),
        )
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
                {name: row[name] for name in self.user_columns(row, path_column, caption_column)},
                self._notices,
                source=source,
                place=location,
            ),
        )

    def user_columns(
        self, names: Iterable[str], path_column: str | None, caption_column: str | None
    ) -> list[str]:
        """Return the columns of a row that are kept and do not describe the item itself."""
        item_columns = ITEM_COLUMNS | {path_column, caption_column}
        if self._exported:
            item_columns |= {"image_path"}  # repeats the uri for other tools
        return [name for name in names if name not in item_columns and self._is_selected(name)]

    def _is_selected(self, name: str) -> bool:
        self._read_columns.add(name)
        columns = self._options.columns
        return name not in self._options.drop and (columns is None or name in columns)

    def modality(self, row: Row, uri: str) -> Medium:
        """Return the modality by the row, else by the extension, else by the options."""
        return parse_medium(row.get("modality")) or self.modality_of_name(uri)

    def modality_of_name(self, uri: str) -> Medium:
        """Return the modality by the extension, else by the options."""
        name = container_of(uri)[1] or uri
        return EXTENSIONS.get(extension(name), (self._options.medium,))[0]

    def file_state(
        self, uri: str, size: int | None, mtime: float | None, sha256: object
    ) -> tuple[int, float, str]:
        """Return size, time and digest of an existing file, or else those of the row."""
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


class FilledColumn(NamedTuple):
    """The first of some columns that has values.

    Attributes:
        name: Its name; None if none has.
        is_only: Whether it is the first one with a value in all rows.
    """

    name: str | None
    is_only: bool


def first_filled(columns: Mapping[str, pa.Array], names: tuple[str, ...]) -> FilledColumn:
    """Return the column that `_first_value` finds in rows."""
    folded = {name.casefold(): name for name in columns}
    candidates = [*names, *(folded[name] for name in names if name in folded)]
    filled = dict.fromkeys(
        name
        for name in candidates
        if name in columns and columns[name].null_count < len(columns[name])
    )
    first = next(iter(filled), None)
    is_only = first is None or len(filled) == 1 or columns[first].null_count == 0
    return FilledColumn(first, is_only)


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
