"""Describes files without decoding them, and compares their states."""

from __future__ import annotations

import os

from retrieval.media.files import OpenFile
from retrieval.media.sources.presence import file_status
from retrieval.types import Failure, KnownFile, MediaInfo, Medium, Sidecar, Source


def file_info(source: Source, file: os.stat_result | OpenFile) -> MediaInfo:
    """Return the metadata of a file or a tar member that is known without decoding."""
    if isinstance(file, OpenFile):
        return MediaInfo(
            file.uri, Medium.IMAGE, file.bytes, file.mtime, "", caption=file.caption,
            columns=file.columns,
        )  # fmt: skip
    return MediaInfo(
        source.uri, Medium.IMAGE, file.st_size, file.st_mtime, "", caption=source.caption,
        columns=source.columns, sidecars=source.sidecars,
    )  # fmt: skip


def is_same_state(failure: Failure, sidecar: Sidecar) -> bool:
    """Return whether a transcript file has not changed since it failed."""
    return (failure.bytes, failure.mtime) == (sidecar.bytes, sidecar.mtime)


def is_same_version(known: KnownFile | Failure, info: MediaInfo) -> bool:
    """Return whether a file has the size and time that the collection stores."""
    return (known.bytes, known.mtime) == (info.bytes, info.mtime)


def is_accessible(uri: str) -> bool:
    """Return whether the folder of a file can be read."""
    try:
        file_status(uri)
    except (OSError, ValueError):
        return False
    return True
