"""Reading what data sets come as: tables, and media files that go by a name or an id."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from retrieval.errors import SourceError


def read_table(path: Path, *columns: str) -> list[dict[str, str]]:
    """Rows of a CSV file with a header; of its columns those that are named.

    Raises:
        SourceError: No rows, or a row without one of the columns; names the line.
    """
    rows = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        try:
            for row in reader:
                lacking = [column for column in columns if not row.get(column)]
                if lacking:
                    raise SourceError(
                        f"{path}, line {reader.line_num}: nothing in {', '.join(lacking)}; "
                        f"expected the columns {', '.join(columns)}"
                    )
                rows.append({column: row[column] for column in columns})
        except csv.Error as error:
            raise SourceError(f"{path}, line {reader.line_num}: {error}") from error
    if not rows:
        raise SourceError(f"{path} has no rows; expected the columns {', '.join(columns)}")
    return rows


def media_files(folder: Path, keys: Iterable[str]) -> dict[str, Path]:
    """The file of each key: the one of that very name, or of that name with any extension.

    A key without a file keeps the path of its name, where there is nothing.
    """
    found = sorted(folder.iterdir())
    known = {path.stem: path for path in found} | {path.name: path for path in found}
    return {key: known.get(key, folder / key) for key in keys}
