"""Opens the file of an item by its id, and compares it with what the collection recorded."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np
from cachetools import LRUCache

from indexes.forking import ForkSafeLock
from retrieval.errors import RetrievalError
from retrieval.media.archives.members import open_member
from retrieval.media.names import container_of, is_address, uri_to_path
from retrieval.serving.errors import HttpError
from retrieval.serving.generations import Generation
from retrieval.store.blocks import isin_sorted
from retrieval.types import Medium, Scalar

MAX_TARS = 16
COPY_BYTES = 1 << 20
CHANGED = "the file of item {} was changed or deleted after it was embedded; embed it again"


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """What the collection recorded about an item."""

    item_id: int
    uri: str
    modality: Medium
    size: int
    mtime: float
    sha256: str
    columns: dict[str, Scalar]

    @property
    def etag(self) -> str:
        """Strong validator of the file's content."""
        return f'"{self.sha256[:32]}"'


@dataclass(frozen=True, slots=True)
class ItemFile:
    """A span of an open descriptor that holds an item's bytes."""

    record: ItemRecord
    descriptor: int
    offset: int

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)


def item_record(generation: Generation, item_id: int) -> ItemRecord:
    """Return the record of an item.

    Raises:
        HttpError: 404 for an unknown or removed item.
    """
    row = generation.items.record(item_id)
    removed = generation.snapshot.removed_ids()
    if row is None or isin_sorted(np.array([item_id]), removed)[0]:
        raise HttpError(404, f"no item has the id {item_id}")
    return ItemRecord(
        item_id,
        str(row["uri"]),
        Medium(str(row["modality"])),
        int(cast(int, row["bytes"])),
        float(cast(float, row["mtime"])),
        str(row["sha256"]),
        row,
    )


class ItemFiles:
    """Opens the files of items. The offsets of the members of recent tars are kept."""

    def __init__(self) -> None:
        self._tars: LRUCache[tuple[int, ...], dict[str, tarfile.TarInfo]] = LRUCache(MAX_TARS)
        self._lock = ForkSafeLock()

    def open(self, record: ItemRecord) -> ItemFile:
        """Open the file of an item.

        The descriptor is compared with the recorded size and time, so that a file or a link that
        is replaced later changes nothing.

        Raises:
            HttpError: 410 if the file has changed or is gone, 404 if it is not on this machine.
        """
        if is_address(record.uri) or not record.uri.startswith("/"):
            raise HttpError(404, f"the file of item {record.item_id} is not on this machine")
        container, member = container_of(record.uri)
        path = uri_to_path(container)
        gone = HttpError(410, CHANGED.format(record.item_id))
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise gone from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise gone
            if member is not None:
                return self._open_member(record, descriptor, path, member)
            if (status.st_size, status.st_mtime) != (record.size, record.mtime):
                raise gone
        except BaseException:
            os.close(descriptor)
            raise
        return ItemFile(record, descriptor, 0)

    def _open_member(self, record: ItemRecord, descriptor: int, path: str, member: str) -> ItemFile:
        """Open a member of an archive; takes over the descriptor of the archive."""
        gone = HttpError(410, CHANGED.format(record.item_id))
        info = self._members(descriptor).get(member)
        if info is not None and not info.issparse():
            if (info.size, float(info.mtime)) != (record.size, record.mtime):
                raise gone
            return ItemFile(record, descriptor, info.offset_data)
        try:
            copy = _copy_member(path, member, record)
        except (RetrievalError, EOFError) as error:
            raise gone from error
        os.close(descriptor)
        return ItemFile(record, copy, 0)

    def _members(self, descriptor: int) -> dict[str, tarfile.TarInfo]:
        """Return the members of a tar that is not compressed, the first of each name."""
        status = os.fstat(descriptor)
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        with self._lock:
            if key not in self._tars:
                self._tars[key] = _list_tar(descriptor)
            return self._tars[key]


def _list_tar(descriptor: int) -> dict[str, tarfile.TarInfo]:
    members: dict[str, tarfile.TarInfo] = {}
    with open(os.dup(descriptor), "rb") as file:
        file.seek(0)
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    if member.isreg():
                        members.setdefault(member.name, member)
                    tar.members = []  # type: ignore[attr-defined]  # it would keep all of them
        except (tarfile.TarError, EOFError, OSError, ValueError):
            pass  # compressed or cut: the rest is read as `embed` reads it
    return members


def _copy_member(path: str, member: str, record: ItemRecord) -> int:
    """Copy a compressed or nested member to a file without a name; return its descriptor.

    Raises:
        RetrievalError: The member cannot be read.
        EOFError: It has another content.
    """
    digest = hashlib.sha256()
    with open_member(path, member) as source, tempfile.TemporaryFile() as copy:
        rest = record.size
        while rest > 0 and (data := source.read(min(rest, COPY_BYTES))):
            digest.update(data)
            copy.write(data)
            rest -= len(data)
        if rest or source.read(1) or digest.hexdigest() != record.sha256:
            raise EOFError(f"{path}: member {member} has another content")
        copy.flush()
        return os.dup(copy.fileno())


@contextmanager
def opened_item(files: ItemFiles, record: ItemRecord) -> Iterator[tuple[BinaryIO, ItemFile]]:
    """Open an item for reading, as a file and as a span of a descriptor."""
    from retrieval.files.spans import open_span

    item = files.open(record)
    try:
        with open_span(item.descriptor, item.offset, record.size) as file:
            yield file, item
    finally:
        item.close()
