"""Looks up the items of a collection by uri, by file and by content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Set
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.files.reading import open_regular
from retrieval.media.archives.tar import open_members
from retrieval.media.files import OpenFile
from retrieval.media.names import container_of
from retrieval.media.sources.listing import file_identity
from retrieval.media.sources.presence import file_status
from retrieval.store.known_files import KnownFiles
from retrieval.store.reader import Snapshot
from retrieval.store.schema import ITEMS
from retrieval.types import Failure, KnownFile, Scalar, Source


@dataclass(slots=True)
class _SameSize:
    """Known files of one size: existing ones by identity, gone ones by digest."""

    existing: dict[tuple[int, int], str] = field(default_factory=dict)
    gone: dict[str, list[str]] = field(default_factory=dict)  # uris by sha256

    def add(self, uri: str, sha256: str) -> None:
        try:
            status = file_status(uri)
        except OSError:
            return
        if status is None:
            if sha256:
                self.gone.setdefault(sha256, []).append(uri)
            return
        key = file_identity(status)
        if key is not None:
            self.existing.setdefault(key, uri)


class KnownItems:
    """The items of a collection, for lookups by a run of `embed`.

    Attributes:
        files: By uri; for renamed files by the new one.
    """

    def __init__(self, snapshot: Snapshot | None) -> None:
        self.files = snapshot.known_files() if snapshot else KnownFiles()
        self._same_size: dict[int, _SameSize] = {}

    # ------------------------------------------------------------ the same file, the same content

    def other_name(self, source: Source, status: os.stat_result) -> str | None:
        """Return the known uri of a source's file, if the source is another path of it."""
        key = file_identity(status)
        if key is None:
            return None
        known = self._tars if source.is_tar else self._of_size(status.st_size)
        return known.existing.get(key)

    def renamed(self, source: Source, status: os.stat_result) -> str | None:
        """Return the known uri of a gone file with the content of this one.

        Of several, a file of the same name is preferred, then the oldest.
        """
        gone = self._of_size(status.st_size).gone
        if not gone:
            return None
        try:
            with open_regular(source.path) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return None  # decoding reports the error
        uris = gone.get(digest, [])
        name = os.path.basename(source.uri)
        return next((uri for uri in uris if os.path.basename(uri) == name), next(iter(uris), None))

    def renamed_members(self, source: Source) -> Iterator[tuple[OpenFile | Failure, str | None]]:
        """Yield the members of a renamed tar, each with the uri of its content in the old tar.

        The old tar is a gone one that has a member with the first member's name and content. The
        uri is None for content that it lacks. Without an old tar only the first member is yielded.
        """
        if not self._tars.gone:
            return
        tar: str | None = None
        for member in open_members(source):
            old_uri = None
            if isinstance(member, OpenFile):
                name = member.uri[len(source.uri) :]
                digest = hashlib.file_digest(member.file, "sha256").hexdigest()  # type: ignore[arg-type]
                tar = tar or self._gone_tar_with(name, digest)
                if tar and self._digest(f"{tar}{name}") == digest:
                    old_uri = f"{tar}{name}"
            yield member, old_uri
            if tar is None:
                return

    def rename(self, old_uri: str, uri: str) -> KnownFile:
        """Change the uri of an item."""
        file = self.files.rename(old_uri, uri)
        if file.bytes in self._same_size:
            uris = self._same_size[file.bytes].gone.get(file.sha256, [])
            uris[:] = [other for other in uris if other != old_uri]
        return file

    # ------------------------------------------------------------ gone files

    def gone(self, covers: Callable[[str], bool], seen: Set[str]) -> Iterator[KnownFile]:
        """Yield the items whose files no longer exist.

        Args:
            covers: Returns whether the sources of the run include a uri.
            seen: Uris that the run saw.
        """
        for uri in self.files:
            if uri in seen or not covers(uri):
                continue
            with suppress(OSError):  # an inaccessible file may exist
                if file_status(uri) is None:
                    yield self.files[uri]

    def _gone_tar_with(self, member: str, digest: str) -> str | None:
        """Return a gone tar with a member of this name (as `!NAME`) and content."""
        tars = (tar for tars in self._tars.gone.values() for tar in tars)
        return next((tar for tar in tars if self._digest(tar + member) == digest), None)

    def _digest(self, uri: str) -> str | None:
        return self.files[uri].sha256 if uri in self.files else None

    def _of_size(self, size: int) -> _SameSize:
        if size not in self._same_size:
            same_size = self._same_size[size] = _SameSize()
            for uri in self.files.uris_of_size(size):
                if uri.startswith("/") and container_of(uri)[1] is None:
                    same_size.add(uri, self.files[uri].sha256)
        return self._same_size[size]

    @cached_property
    def _tars(self) -> _SameSize:
        """All tars; gone ones share one key, because their digests are not stored."""
        tars = _SameSize()
        for tar in dict.fromkeys(tar for tar, member in map(container_of, self.files) if member):
            tars.add(tar, "tar")
        return tars


class StoredMetadata:
    """Captions and user columns of the items of one generation, read at first use."""

    def __init__(self, snapshot: Snapshot | None) -> None:
        self._snapshot = snapshot

    def of(self, item_id: int) -> dict[str, Scalar]:
        """Return the caption and the user columns of an item."""
        ids, table = self._rows
        row = int(np.searchsorted(ids, item_id))
        return {name: table.column(name)[row].as_py() for name in table.column_names}

    @cached_property
    def _rows(self) -> tuple[NDArray[np.int64], pa.Table]:
        assert self._snapshot is not None  # its caller has an item of it
        table = pa.Table.from_batches(self._snapshot.iter_items(), self._snapshot.items_schema())
        ids: NDArray[np.int64] = table.column("item_id").to_numpy()
        fixed = [name for name in ITEMS.names if name != "caption"]
        return ids, table.drop_columns(fixed).combine_chunks()
