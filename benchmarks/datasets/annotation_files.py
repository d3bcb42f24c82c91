"""Reads CSV tables of data sets, and finds media files by name or id."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path

from retrieval.errors import SourceError


def read_table(
    path: Path, *columns: str, check: Callable[[dict[str, str]], object] | None = None
) -> list[dict[str, str]]:
    """Read the named columns of a CSV file with a header.

    Args:
        path: The file.
        *columns: The columns.
        check: Called with each row; it raises a ValueError that says what is wrong with the row.

    Raises:
        SourceError: The file has no rows, or a row lacks a column or is wrong; the message names
            the line.
    """
    rows = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        try:
            for row in reader:
                missing = [column for column in columns if not row.get(column)]
                if missing:
                    raise SourceError(
                        f"{path}, line {reader.line_num}: no value for {', '.join(missing)}; "
                        f"expected the columns {', '.join(columns)}"
                    )
                rows.append({column: row[column] for column in columns})
                if check is not None:
                    _check(check, rows[-1], f"{path}, line {reader.line_num}")
        except csv.Error as error:
            raise SourceError(f"{path}, line {reader.line_num}: {error}") from error
    if not rows:
        raise SourceError(f"{path} has no rows; expected the columns {', '.join(columns)}")
    return rows


def _check(check: Callable[[dict[str, str]], object], row: dict[str, str], where: str) -> None:
    try:
        check(row)
    except ValueError as error:
        raise SourceError(f"{where}: {error}") from error


def media_files(folder: Path, keys: Iterable[str]) -> dict[str, Path]:
    """Find the file of each key: a file of exactly this name, or with any extension added.

    A key without a file maps to the path of its name, which does not exist.
    """
    paths = sorted(folder.iterdir())
    by_name = {path.stem: path for path in paths} | {path.name: path for path in paths}
    return {key: by_name.get(key, folder / key) for key in keys}
