"""Read lists of media files with metadata (CSV, TSV, JSONL, Parquet) row by row."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TypeVar
from urllib.parse import unquote_to_bytes, urlsplit

from retrieval.columns.notices import Notices
from retrieval.columns.types import clean_text, convert_value
from retrieval.errors import SourceError, short_repr
from retrieval.files.objects import is_object
from retrieval.media.captions import join_captions
from retrieval.media.lists.csv_rows import read_csv, read_csv_blocks
from retrieval.media.lists.encodings import TextEncoding, find_encoding
from retrieval.media.lists.formats import (
    ListBlock,
    ListFile,
    ListReader,
    Row,
    read_jsonl,
    read_parquet,
)
from retrieval.media.names import extension
from retrieval.types import Scalar

Read = TypeVar("Read")

PATH_COLUMNS = ("path", "file", "filename", "image_path", "audio_path", "video_path")
CAPTION_COLUMNS = ("caption", "text")

_MAX_SHOWN_NAMES = 12
_MAX_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class ListedRow:
    """One row of a list: the path of a file, and its metadata.

    Attributes:
        path: As the list has it.
        caption: Empty if the row's caption is, None if the row has no column for it.
        columns: All other columns.
    """

    path: str
    caption: str | None
    columns: dict[str, Scalar]


def read_files(
    path: str,
    path_column: str | None = None,
    caption_column: str | None = None,
    notices: Notices | None = None,
) -> Iterator[tuple[int, ListedRow | SourceError]]:
    """Read a list as `read_rows` does, with all rows of one file joined into the first.

    The joined row has the captions of all rows, one a line, and the columns of the first; a notice
    reports later rows with other columns. The list is read several times, because the later rows
    can be anywhere.
    """
    notices = notices or Notices()
    captions = _repeated_captions(path, path_column, caption_column)
    first_rows: dict[str, ListedRow] = {}
    for number, row in read_rows(path, path_column, caption_column, notices):
        name = None if isinstance(row, SourceError) else os.path.normpath(row.path)
        if isinstance(row, SourceError) or name not in captions:
            yield number, row
        elif name not in first_rows:
            first_rows[name] = row
            yield number, replace(row, caption=join_captions(captions[name]) or row.caption)
        elif row.columns != first_rows[name].columns:
            notices.add(
                "a file is listed again with other columns; those of its first row are stored",
                source=path,
                location=f"row {number}",
            )


def _repeated_captions(
    path: str, path_column: str | None, caption_column: str | None
) -> dict[str, list[str | None]]:
    """Return the captions of every file that several rows name."""

    def files() -> Iterator[tuple[str, str | None]]:
        for _, row in read_rows(path, path_column, caption_column):
            if not isinstance(row, SourceError):
                yield os.path.normpath(row.path), row.caption

    seen: set[str] = set()
    captions: dict[str, list[str | None]] = {}
    for name, _ in files():
        if name in seen:
            captions[name] = []
        seen.add(name)
    # A second pass collects captions: those of all files would take too much memory.
    if captions:
        for name, caption in files():
            if name in captions:
                captions[name].append(caption)
    return captions


def read_rows(
    path: str,
    path_column: str | None = None,
    caption_column: str | None = None,
    notices: Notices | None = None,
) -> Iterator[tuple[int, ListedRow | SourceError]]:
    """Read a list row by row, numbered from 1, with an error in place of each malformed row.

    A CSV column has the type that all its non-empty fields have, else text. Nested values of JSONL
    and Parquet become JSON text; empty fields and NaN become None. A `file://` address becomes its
    path, an address of an object store stays, any other one is an error.

    Args:
        path: The list; its extension is one of `LIST_EXTENSIONS`.
        path_column: Column that names the files; by default one of `PATH_COLUMNS`.
        caption_column: Column that holds captions; by default one of `CAPTION_COLUMNS`.
        notices: Receives a notice for each value that is stored in another form.

    Raises:
        SourceError: The list cannot be read, or not beyond some row.
    """
    notices = notices or Notices()
    expected = (path_column,) if path_column else PATH_COLUMNS
    texts = (*expected, *((caption_column,) if caption_column else CAPTION_COLUMNS))
    reader = _reader_of(path)
    try:
        file = ListFile(path, _find_encoding(path, notices), notices, texts, expected)
        parser = _RowParser(file, path_column, caption_column)
        for number, row in reader(file):
            if isinstance(row, SourceError):
                yield number, row
                continue
            try:
                listed = parser.parse(number, row)
            except MissingColumnError as error:
                if reader is not read_jsonl:  # in other formats every row lacks the column
                    raise
                yield number, error
            except SourceError as error:
                yield number, error
            else:
                yield number, listed
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}; cannot read the list") from error


def read_table(
    path: str, notices: Notices, rows: int, columns: Collection[str] | None = None
) -> Iterator[ListBlock]:
    """Yield the rows of a list in blocks, without parsing paths and captions.

    Args:
        path: The list; its extension is one of `LIST_EXTENSIONS`.
        notices: Receives a notice for each value that is stored in another form.
        rows: Approximate number of rows of a block.
        columns: Columns that are needed, in any case; None needs all.

    Raises:
        SourceError: The list cannot be read, or not beyond some row, or a row is malformed.
    """
    try:
        texts = (*PATH_COLUMNS, *CAPTION_COLUMNS)
        encoding = _find_encoding(path, notices)
        file = ListFile(path, encoding, notices, texts, PATH_COLUMNS, columns)
        delimiter = CSV_DELIMITERS.get(extension(path))
        if delimiter is not None:
            yield from _joined(read_csv_blocks(file, delimiter), rows)
            return
        listed = _reader_of(path)(file)
        while block := [_checked(row) for _, row in islice(listed, rows)]:
            yield ListBlock(len(block), block)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}; cannot read the list") from error


def _joined(blocks: Iterator[ListBlock | SourceError], rows: int) -> Iterator[ListBlock]:
    """Join blocks until they have some number of rows."""
    columns: dict[str, list[object]] = {}
    count = 0
    for block in map(_checked, blocks):
        for name, values in block.columns().items():
            columns.setdefault(name, []).extend(values)
        count += block.count
        if count >= rows:
            yield ListBlock(count, columns)
            columns, count = {}, 0
    if count:
        yield ListBlock(count, columns)


def _checked(read: Read | SourceError) -> Read:
    """Raise the error of a malformed row; return rows as they are."""
    if isinstance(read, SourceError):
        raise read
    return read


def _reader_of(path: str) -> ListReader:
    return LIST_EXTENSIONS[extension(path)]


def _find_encoding(path: str, notices: Notices) -> TextEncoding:
    if _reader_of(path) is read_parquet:
        return TextEncoding("utf-8")
    encoding = find_encoding(path)
    if encoding.problem is not None:
        notices.add(encoding.problem, source=path)
    return encoding


# ---------------------------------------------------------------- one row


class MissingColumnError(SourceError):
    """A row lacks the column that names its file, or a column that the user gave."""


@dataclass(frozen=True, slots=True)
class _RowParser:
    """Splits the rows of one list into path, caption and columns."""

    file: ListFile
    path_column: str | None
    caption_column: str | None

    def parse(self, number: int, row: Row) -> ListedRow:
        where = f"{self.file.path}, row {number}"
        path_key = _find_column(row, self.path_column, PATH_COLUMNS)
        if path_key is None:
            raise MissingColumnError(self._missing_path_column(where, row))
        caption_key = _find_column(row, self.caption_column, CAPTION_COLUMNS)
        if caption_key is None and self.caption_column:
            raise MissingColumnError(
                f"{where}: no column {self.caption_column!r}; it has {_format_names(row)}"
            )
        return ListedRow(
            path=self._parse_path(where, path_key, row[path_key]),
            caption=None if caption_key is None else join_captions([row[caption_key]]) or "",
            columns=to_columns(
                {key: value for key, value in row.items() if key not in (path_key, caption_key)},
                self.file.notices,
                source=self.file.path,
                place=f"row {number}",
            ),
        )

    def _parse_path(self, where: str, column: str, value: object) -> str:
        if not isinstance(value, str) or not _is_file_name(value):
            raise SourceError(
                f"{where}: {column} is {short_repr(value)}, expected the path of a file"
            )
        scheme = re.match(r"([a-z][a-z0-9+.-]+)://", value, re.IGNORECASE)
        if scheme is None:
            folder = os.path.dirname(os.path.abspath(self.file.path))
            return self.file.encoding.file_name(value, folder)
        if scheme[1].lower() == "file":
            return os.fsdecode(unquote_to_bytes(urlsplit(value).path))
        if is_object(value):
            return value
        raise SourceError(
            f"{where}: {column} is an address ({value[:_MAX_SHOWN_CHARACTERS]}); download it first "
            "and list the file"
        )

    def _missing_path_column(self, where: str, row: Row) -> str:
        expected = (
            repr(self.path_column) if self.path_column else f"one of {', '.join(PATH_COLUMNS)}"
        )
        hint = "" if self.path_column else "; if the first row is a file already, add a header"
        return (
            f"{where}: found the columns {_format_names(row)}, expected {expected}: name the "
            f"column that holds the files{hint}"
        )


def to_columns(
    values: Mapping[str, object], notices: Notices, *, source: str, place: str
) -> dict[str, Scalar]:
    """Convert the values of a row to column values, with a notice for each changed value."""
    columns: dict[str, Scalar] = {}
    for name, value in values.items():
        columns[clean_text(name)], problem = convert_value(value)
        if problem is not None:
            notices.add(f"column {clean_text(name)!r} is {problem}", source=source, location=place)
    return columns


def _is_file_name(name: str) -> bool:
    """Whether a string can be a path: JSON can hold lone surrogates, which no file name has."""
    try:
        return bool(name) and b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def _find_column(row: Row, given: str | None, common: Iterable[str]) -> str | None:
    """Return the given column of a row, or else the first common one, ignoring case."""
    if given is not None:
        return given if given in row else None
    exact = next((name for name in common if name in row), None)
    if exact is not None:
        return exact
    folded = {name.strip().casefold(): name for name in row}
    return next((folded[name] for name in common if name in folded), None)


def _format_names(row: Row) -> str:
    """Format the names of a row's columns, short_repr to one line."""
    names = [
        name if len(name) <= _MAX_SHOWN_CHARACTERS else f"{name[:_MAX_SHOWN_CHARACTERS]}…"
        for name in map(clean_text, row)
    ]
    hidden = len(names) - _MAX_SHOWN_NAMES
    more = f" and {hidden} more" if hidden > 0 else ""
    return ", ".join(names[:_MAX_SHOWN_NAMES]) + more


CSV_DELIMITERS = {"csv": ",", "tsv": "\t"}
LIST_EXTENSIONS: dict[str, ListReader] = {
    **{name: partial(read_csv, delimiter=delimiter) for name, delimiter in CSV_DELIMITERS.items()},
    "jsonl": read_jsonl,
    "parquet": read_parquet,
}
