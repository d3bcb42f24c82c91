"""Files that hold media: tars, compressed or not, and Parquet files with a column of media."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO

from retrieval.media.archives import parquet_media, tar
from retrieval.media.files import OpenFile
from retrieval.media.names import extension
from retrieval.types import Failure, Source


def open_members(source: Source) -> Iterator[OpenFile | Failure]:
    """Yield the media of an archive in their order, and a failure for each that is refused.

    An open file is valid until the next one is asked for.
    """
    if _is_parquet(source.path):
        return parquet_media.open_rows(source)
    return tar.open_members(source)


def open_member(path: str, name: str) -> AbstractContextManager[BinaryIO]:
    """Open one member of an archive for reading, by the name that is in its uri.

    Raises:
        DamagedMediaError: The archive is damaged, or holds no such member.
    """
    return parquet_media.open_row(path, name) if _is_parquet(path) else tar.open_member(path, name)


def list_members(path: str) -> Iterator[tuple[str, int]]:
    """Names and sizes in bytes of an archive's members, without reading them.

    Raises:
        DamagedMediaError: The archive is damaged.
    """
    return parquet_media.list_rows(path) if _is_parquet(path) else tar.list_members(path)


def _is_parquet(path: str) -> bool:
    return extension(path) == "parquet"
