"""Read the members of an archive, whether it is a tar or a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO

from retrieval.media.archives import parquet_media, tar
from retrieval.media.files import OpenFile
from retrieval.media.names import extension
from retrieval.types import Failure, Source


def open_members(source: Source) -> Iterator[OpenFile | Failure]:
    """Yield the media of an archive in their order, and a failure for each refused member.

    An open file is valid until the iterator advances.
    """
    if _is_parquet(source.path):
        return parquet_media.open_rows(source)
    return tar.open_members(source)


def open_member(path: str, name: str) -> AbstractContextManager[BinaryIO]:
    """Open one member of an archive for reading, by its name in the member's URI.

    Raises:
        DamagedMediaError: The archive is damaged, or has no such member.
    """
    return parquet_media.open_row(path, name) if _is_parquet(path) else tar.open_member(path, name)


def list_members(path: str) -> Iterator[tuple[str, int]]:
    """Yield names and sizes in bytes of an archive's members, without reading them.

    Raises:
        DamagedMediaError: The archive is damaged.
    """
    return parquet_media.list_rows(path) if _is_parquet(path) else tar.list_members(path)


def _is_parquet(path: str) -> bool:
    return extension(path) == "parquet"
