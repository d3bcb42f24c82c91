"""Lists of media files with metadata: CSV, TSV, JSONL and Parquet, read row by row."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import unquote_to_bytes, urlsplit

from retrieval.columns.notices import Notices
from retrieval.columns.types import adapted, clean_text
from retrieval.errors import SourceError, short_repr
from retrieval.media.captions import joined_captions
from retrieval.media.csv_lists import read_csv
from retrieval.media.encodings import TextEncoding, find_encoding
from retrieval.media.list_formats import (
    ListReader,
    NumberedRow,
    Row,
    read_jsonl,
    read_parquet,
)
from retrieval.types import Scalar

PATH_COLUMNS = ("path", "file", "filename", "image_path", "audio_path", "video_path")
CAPTION_COLUMNS = ("caption", "text")

_SHOWN_NAMES = 12
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class ListedRow:
    """One row of a list: the file it names, and what it says about it."""

    path: str
    caption: str | None
    columns: dict[str, Scalar]


def read_list(
    path: str,
    path_column: str | None = None,
    caption_column: str | None = None,
    notices: Notices | None = None,
) -> Iterator[ListedRow]:
    """Read a list, a file at a time; the format goes by the list's extension.

    As `read_files`, but a row that cannot be used ends it.

    Raises:
        SourceError: The list cannot be read, a named column is missing, or a row is malformed.
    """
    for _, row in read_files(path, path_column, caption_column, notices):
        if isinstance(row, SourceError):
            raise row
        yield row


def read_files(
    path: str,
    path_column: str | None = None,
    caption_column: str | None = None,
    notices: Notices | None = None,
) -> Iterator[tuple[int, ListedRow | SourceError]]:
    """Read a list as `read_rows` does, with the rows of one file joined where the first is.

    A file that several rows name has the captions of all of them, each on a line of its own, and
    the columns of the first; values of later rows that differ are a notice. The list is read more
    than once, for a later row can be anywhere.
    """
    notices = notices or Notices()
    captions = _captions_of_several(path, path_column, caption_column)
    seen: dict[str, ListedRow] = {}
    for number, row in read_rows(path, path_column, caption_column, notices):
        name = None if isinstance(row, SourceError) else os.path.normpath(row.path)
        if isinstance(row, SourceError) or name not in captions:
            yield number, row
        elif name not in seen:
            seen[name] = row
            yield number, replace(row, caption=joined_captions(captions[name]))
        elif row.columns != seen[name].columns:
            notices.add(
                "a file is listed again with other columns; those of its first row are stored",
                source=path,
                place=f"row {number}",
            )


def _captions_of_several(
    path: str, path_column: str | None, caption_column: str | None
) -> dict[str, list[str | None]]:
    """The captions of every file that more than one row names."""
    seen: set[str] = set()
    captions: dict[str, list[str | None]] = {}
    for name, _ in _named_files(path, path_column, caption_column):
        if name in seen:
            captions[name] = []
        seen.add(name)
    # Only now the captions: those of all files would fill memory.
    if captions:
        for name, caption in _named_files(path, path_column, caption_column):
            if name in captions:
                captions[name].append(caption)
    return captions


def _named_files(
    path: str, path_column: str | None, caption_column: str | None
) -> Iterator[tuple[str, str | None]]:
    for _, row in read_rows(path, path_column, caption_column, Notices()):
        if not isinstance(row, SourceError):
            yield os.path.normpath(row.path), row.caption


def read_rows(
    path: str,
    path_column: str | None = None,
    caption_column: str | None = None,
    notices: Notices | None = None,
) -> Iterator[tuple[int, ListedRow | SourceError]]:
    """Read a list row by row, numbered, with an error in the place of a row that names no file.

    A CSV column has the type that all its filled fields have, else text. Nested values of JSONL
    and Parquet become JSON text; empty fields and NaN become None. A `file://` address is the path
    it stands for, any other address is an error.

    Args:
        path: The list; its extension is one of `LIST_EXTENSIONS`.
        path_column: Column that names the files; by default a usual name is sought.
        caption_column: Column that holds captions, likewise.
        notices: Told of values that are not stored as they are.

    Raises:
        SourceError: The list itself cannot be read, or not beyond some row.
    """
    notices = notices or Notices()
    expected = (path_column,) if path_column else PATH_COLUMNS
    texts = (*expected, *((caption_column,) if caption_column else CAPTION_COLUMNS))
    reader = LIST_EXTENSIONS[os.path.splitext(path)[1][1:].lower()]
    try:
        encoding = TextEncoding("utf-8") if reader is read_parquet else _encoding(path, notices)
        listing = _Listing(path, encoding, path_column, caption_column, notices)
        for number, row in reader(path, encoding, notices, texts=texts, expected=expected):
            if isinstance(row, SourceError):
                yield number, row
                continue
            try:
                listed = listing.row(number, row)
            except NoColumnError as error:
                if reader is not read_jsonl:  # else all rows lack it
                    raise
                yield number, error
            except SourceError as error:
                yield number, error
            else:
                yield number, listed
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}; cannot read the list") from error


def read_table(path: str, notices: Notices) -> Iterator[NumberedRow]:
    """The rows of a list as they are, without looking for the files they name.

    Raises:
        SourceError: The list cannot be read, or not beyond some row.
    """
    reader = LIST_EXTENSIONS[os.path.splitext(path)[1][1:].lower()]
    try:
        encoding = TextEncoding("utf-8") if reader is read_parquet else _encoding(path, notices)
        texts = (*PATH_COLUMNS, *CAPTION_COLUMNS)
        yield from reader(path, encoding, notices, texts=texts, expected=PATH_COLUMNS)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}; cannot read the list") from error


def _encoding(path: str, notices: Notices) -> TextEncoding:
    encoding = find_encoding(path)
    if encoding.problem is not None:
        notices.add(encoding.problem, source=path)
    return encoding


# ---------------------------------------------------------------- one row


class NoColumnError(SourceError):
    """A row lacks the column that names its file, or a column that the user named."""


@dataclass(slots=True)
class _Listing:
    """Finds in the rows of one list the file, its caption and its columns."""

    path: str
    encoding: TextEncoding
    path_column: str | None
    caption_column: str | None
    notices: Notices

    def row(self, number: int, row: Row) -> ListedRow:
        where = f"{self.path}, row {number}"
        path_key = _column(row, self.path_column, PATH_COLUMNS)
        if path_key is None:
            raise NoColumnError(self._no_path_column(where, row))
        caption_key = _column(row, self.caption_column, CAPTION_COLUMNS)
        if caption_key is None and self.caption_column:
            raise NoColumnError(f"{where}: no column {self.caption_column!r}; it has {_named(row)}")
        return ListedRow(
            path=self._file(where, path_key, row[path_key]),
            caption=joined_captions([row[caption_key]]) if caption_key is not None else None,
            columns=scalars(
                {key: value for key, value in row.items() if key not in (path_key, caption_key)},
                self.notices,
                source=self.path,
                place=f"row {number}",
            ),
        )

    def _file(self, where: str, column: str, value: object) -> str:
        if not isinstance(value, str) or not _can_name_a_file(value):
            shown = short_repr(value)
            raise SourceError(f"{where}: {column} is {shown}, expected the path of a file")
        scheme = re.match(r"([a-z][a-z0-9+.-]+)://", value, re.IGNORECASE)
        if scheme is None:
            return self.encoding.file_name(value, os.path.dirname(os.path.abspath(self.path)))
        if scheme[1].lower() == "file":
            return os.fsdecode(unquote_to_bytes(urlsplit(value).path))
        raise SourceError(
            f"{where}: {column} is an address ({value[:_SHOWN_CHARACTERS]}); download it first and "
            "list the file"
        )

    def _no_path_column(self, where: str, row: Row) -> str:
        wanted = repr(self.path_column) if self.path_column else f"one of {', '.join(PATH_COLUMNS)}"
        first = "" if self.path_column else "; if the first row is a file already, add a header"
        return (
            f"{where}: found the columns {_named(row)}, expected {wanted}: name the column that "
            f"holds the files{first}"
        )


def scalars(
    values: Mapping[str, object], notices: Notices, *, source: str, place: str
) -> dict[str, Scalar]:
    """Fit the values of a row into columns; what had to change is a notice."""
    fitted: dict[str, Scalar] = {}
    for name, value in values.items():
        fitted[clean_text(name)], problem = adapted(value)
        if problem is not None:
            notices.add(f"column {clean_text(name)!r} is {problem}", source=source, place=place)
    return fitted


def _can_name_a_file(name: str) -> bool:
    """Whether a string is a path: JSON can hold lone surrogates, which no file name has."""
    try:
        return bool(name) and b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def _column(row: Row, named: str | None, usual: Iterable[str]) -> str | None:
    """The first of some names that a row has, in any case where it is a usual one."""
    if named is not None:
        return named if named in row else None
    found = next((name for name in usual if name in row), None)
    if found is not None:
        return found
    folded = {name.strip().casefold(): name for name in row}
    return next((folded[name] for name in usual if name in folded), None)


def _named(row: Row) -> str:
    """The names of a row's columns, shortened so that a row of data stays one line."""
    names = [
        name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}…"
        for name in map(clean_text, row)
    ]
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more


LIST_EXTENSIONS: dict[str, ListReader] = {
    "csv": partial(read_csv, delimiter=","),
    "tsv": partial(read_csv, delimiter="\t"),
    "jsonl": read_jsonl,
    "parquet": read_parquet,
}
