"""Lists of media files with metadata: CSV, TSV, JSONL and Parquet, read row by row."""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from retrieval.errors import SourceError
from retrieval.media.captions import clean_caption, clean_text
from retrieval.types import Scalar

PATH_COLUMNS = ("path", "file", "filename", "image_path", "audio_path", "video_path")
CAPTION_COLUMNS = ("caption", "text")
MAX_FIELD_CHARACTERS = 1 << 20

Row = Mapping[str, object]
NumberedRow = tuple[int, Row | SourceError]
"""A row as its format gives it, or what is wrong with it."""


@dataclass(frozen=True, slots=True)
class ListedRow:
    """One row of a list: the file it names, and what it says about it."""

    path: str
    caption: str | None
    columns: dict[str, Scalar]


def read_list(
    path: str, path_column: str | None = None, caption_column: str | None = None
) -> Iterator[ListedRow]:
    """Read a list row by row; the format goes by its extension.

    A CSV column is bool, int or float where every filled field of it reads so, else text. Nested
    values of JSONL and Parquet become JSON text; empty fields and NaN become None.

    Raises:
        SourceError: The list cannot be read, a named column is missing, or a row is malformed.
    """
    for _, row in read_rows(path, path_column, caption_column):
        if isinstance(row, SourceError):
            raise row
        yield row


def read_rows(
    path: str, path_column: str | None = None, caption_column: str | None = None
) -> Iterator[tuple[int, ListedRow | SourceError]]:
    """Read a list as `read_list` does, numbered, with an error in the place of a malformed row.

    Raises:
        SourceError: The list itself cannot be read, or not beyond some row.
    """
    read = LIST_EXTENSIONS[os.path.splitext(path)[1][1:].lower()]
    try:
        for number, row in read(path):
            if isinstance(row, SourceError):
                yield number, row
                continue
            try:
                listed = _listed(path, number, row, path_column, caption_column)
            except SourceError as error:
                yield number, error
            else:
                yield number, listed
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}; cannot read the list") from error


def _listed(
    path: str, number: int, row: Row, path_column: str | None, caption_column: str | None
) -> ListedRow:
    where = f"{path}, row {number}"
    path_key = _column(row, path_column, PATH_COLUMNS)
    if path_key is None:
        wanted = repr(path_column) if path_column else f"any of {', '.join(PATH_COLUMNS)}"
        raise SourceError(
            f"{where}: found the columns {', '.join(map(str, row))}, expected {wanted}; "
            "name the one that holds the files with --path-column"
        )
    name = row[path_key]
    if not isinstance(name, str) or not name or "\0" in name:
        raise SourceError(f"{where}: {path_key} is {name!r}, expected the path of a file")
    caption_key = _column(row, caption_column, CAPTION_COLUMNS)
    if caption_key is None and caption_column:
        raise SourceError(f"{where}: no column {caption_column!r}; check --caption-column")
    caption = row[caption_key] if caption_key is not None else None
    return ListedRow(
        path=name,
        caption=None if caption is None else clean_caption(str(caption)),
        columns={
            clean_text(key): to_scalar(value)
            for key, value in row.items()
            if key not in (path_key, caption_key)
        },
    )


def _column(row: Row, named: str | None, usual: Iterable[str]) -> str | None:
    return next((name for name in ([named] if named else usual) if name in row), None)


def to_scalar(value: object) -> Scalar:
    """Fit a value into a metadata column: scalars stay, NaN becomes None, the rest JSON text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    if isinstance(value, (list, dict)):
        return clean_text(json.dumps(value, ensure_ascii=False, default=str))
    return clean_text(str(value))


# ---------------------------------------------------------------- CSV


def _read_csv(path: str, delimiter: str = ",") -> Iterator[NumberedRow]:
    """Yield the rows with typed values, numbered from 1 after the header.

    Reads the file twice: the type of a column is known only after its last row, and holding the
    rows would cost memory with the length of the list.
    """
    convert: dict[str, Callable[[str], Scalar]] = {}
    candidates: dict[str, list[str]] = {}
    for _, fields in _csv_rows(path, delimiter):
        if isinstance(fields, SourceError):
            continue
        for name, field in fields.items():
            left = candidates.setdefault(name, list(_TYPES))
            if field:
                left[:] = [kind for kind in left if _TYPES[kind][0].fullmatch(field)]
    for name, left in candidates.items():
        is_text = not left or name in (*PATH_COLUMNS, *CAPTION_COLUMNS)
        convert[name] = str if is_text else _TYPES[left[0]][1]
    for number, fields in _csv_rows(path, delimiter):
        if isinstance(fields, SourceError):
            yield number, fields
            continue
        yield number, {name: convert[name](v) if v else None for name, v in fields.items()}


# Numbers with leading zeros are names, as in 007.
_TYPES: dict[str, tuple[re.Pattern[str], Callable[[str], Scalar]]] = {
    "bool": (re.compile("true|false", re.IGNORECASE), lambda field: field.lower() == "true"),
    "int": (re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII), int),
    "float": (re.compile(r"-?(0|[1-9]\d*)?(\.\d*)?(?<=[\d.])(e[+-]?\d+)?", re.A | re.I), float),
}


def _csv_rows(path: str, delimiter: str) -> Iterator[tuple[int, dict[str, str] | SourceError]]:
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = csv.reader(file, delimiter=delimiter, strict=True)
        number = 0
        try:
            header = next(rows, None)
            if header is None or len(set(header)) != len(header):
                raise SourceError(f"{path}: no header with distinct names; add one as first row")
            for number, fields in enumerate(filter(None, rows), start=1):
                if len(fields) == len(header):
                    yield number, dict(zip(header, fields, strict=True))
                    continue
                yield (
                    number,
                    SourceError(
                        f"{path}, row {number}: {len(fields)} fields, expected {len(header)} "
                        "as in the header; quote fields that hold the separator"
                    ),
                )
        except csv.Error as error:
            raise SourceError(f"{path}, row {number + 1}: {error}; mend the row") from error


def _read_tsv(path: str) -> Iterator[NumberedRow]:
    return _read_csv(path, "\t")


# ---------------------------------------------------------------- JSONL and Parquet


def _read_jsonl(path: str) -> Iterator[NumberedRow]:
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, SourceError(f"{path}, row {number}: {error}; mend the line")
                continue
            if not isinstance(row, dict):
                row = SourceError(f"{path}, row {number}: expected an object, as {{…}}")
            yield number, row


def _read_parquet(path: str) -> Iterator[NumberedRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=4096):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pa.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise SourceError(f"{path}, after row {number}: {reason}; write it again") from error


LIST_EXTENSIONS: dict[str, Callable[[str], Iterator[NumberedRow]]] = {
    "csv": _read_csv,
    "tsv": _read_tsv,
    "jsonl": _read_jsonl,
    "parquet": _read_parquet,
}
