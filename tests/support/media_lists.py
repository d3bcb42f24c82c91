"""Reads a list as a run does, with its first bad row as an error."""

from __future__ import annotations

from collections.abc import Iterator

from retrieval.columns.notices import Notices
from retrieval.errors import SourceError
from retrieval.media.lists.rows import ListedRow, read_files


def read_list(
    path: str,
    path_column: str | None = None,
    caption_column: str | None = None,
    notices: Notices | None = None,
) -> Iterator[ListedRow]:
    """Yield the files of a list; raise the first error of a row."""
    for _, row in read_files(path, path_column, caption_column, notices):
        if isinstance(row, SourceError):
            raise row
        yield row
