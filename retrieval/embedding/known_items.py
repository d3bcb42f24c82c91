"""What a collection holds of the files that a run meets: by uri, by file, by content."""

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
from retrieval.store.reader import Snapshot
from retrieval.store.schema import ITEMS
from retrieval.types import Failure, KnownFile, Scalar, Source


@dataclass(slots=True)
class _SameSize:
    """Known files of one size: those that are there, by their identity, and those that are gone."""

    there: dict[tuple[int, int], str] = field(default_factory=dict)
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
            self.there.setdefault(key, uri)


class KnownItems:
    """The living items of a collection, as a run of `embed` looks them up.

    Attributes:
        files: By uri; where a file was renamed, by its new one.
    """

    def __init__(self, snapshot: Snapshot | None) -> None:
        self.files: dict[str, KnownFile] = snapshot.known_files() if snapshot else {}
        self._same_size: dict[int, _SameSize] = {}

    # ------------------------------------------------------------ the same file, the same content

    def other_name(self, source: Source, status: os.stat_result) -> str | None:
        """The known uri of the very file that a source is another path of."""
        key = file_identity(status)
        if key is None:
            return None
        known = self._tars if source.is_tar else self._of_size(status.st_size)
        return known.there.get(key)

    def renamed(self, source: Source, status: os.stat_result) -> str | None:
        """The known uri of a file that is gone and had the content of this one.

        Of several the one of the same name is meant, else the oldest.
        """
        gone = self._of_size(status.st_size).gone
        if not gone:
            return None
        try:
            with open_regular(source.path) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return None  # decoding it reports what is wrong
        uris = gone.get(digest, [])
        name = os.path.basename(source.uri)
        return next((u for u in uris if os.path.basename(u) == name), uris[0] if uris else None)

    def renamed_members(self, source: Source) -> Iterator[tuple[OpenFile | Failure, str | None]]:
        """Give every member of a tar that took the place of one that is gone, or the first alone.

        With each comes the uri that the same content had in the older tar; None where it had none.
        The older tar is the one with a member of the first one's name and content.
        """
        if not self._tars.gone:
            return
        tar: str | None = None
        for member in open_members(source):
            older = None
            if isinstance(member, OpenFile):
                digest = hashlib.file_digest(member.file, "sha256").hexdigest()  # type: ignore[arg-type]
                tar = tar or self._tar_with(member.uri[len(source.uri) :], digest)
                older = f"{tar}{member.uri[len(source.uri) :]}" if tar else None
                if older is not None and self._digest(older) != digest:
                    older = None
            yield member, older
            if tar is None:
                return

    def rename(self, older: str, uri: str) -> KnownFile:
        """Know an item by another uri from now on."""
        file = self.files[uri] = self.files.pop(older)
        if file.bytes in self._same_size:
            uris = self._same_size[file.bytes].gone.get(file.sha256, [])
            uris[:] = [other for other in uris if other != older]
        return file

    # ------------------------------------------------------------ what is gone

    def gone(self, covers: Callable[[str], bool], seen: Set[str]) -> Iterator[KnownFile]:
        """Items whose files are gone.

        Args:
            covers: Tells of a file's uri whether the run would have met it.
            seen: Uris that the run met.
        """
        for uri, file in self.files.items():
            if uri in seen or not covers(uri):
                continue
            with suppress(OSError):  # unknown is not gone
                if file_status(uri) is None:
                    yield file

    def _tar_with(self, member: str, digest: str) -> str | None:
        """The tar that is gone and had a member of this name, as `!NAME`, and content."""
        tars = (tar for tars in self._tars.gone.values() for tar in tars)
        return next((tar for tar in tars if self._digest(tar + member) == digest), None)

    def _digest(self, uri: str) -> str | None:
        return self.files[uri].sha256 if uri in self.files else None

    def _of_size(self, size: int) -> _SameSize:
        if size not in self._same_size:
            found = self._same_size[size] = _SameSize()
            for uri in self._uris_by_size.get(size, ()):
                found.add(uri, self.files[uri].sha256)
        return self._same_size[size]

    @cached_property
    def _uris_by_size(self) -> dict[int, list[str]]:
        uris: dict[int, list[str]] = {}
        for uri, file in self.files.items():
            if uri.startswith("/") and container_of(uri)[1] is None:
                uris.setdefault(file.bytes, []).append(uri)
        return uris

    @cached_property
    def _tars(self) -> _SameSize:
        """All tars; those that are gone under one digest, since nobody knows theirs."""
        tars = _SameSize()
        for tar in dict.fromkeys(container_of(u)[0] for u in self.files if container_of(u)[1]):
            tars.add(tar, "of a tar")
        return tars


class StoredMetadata:
    """Captions and users' columns of the items of one generation; read when first asked for."""

    def __init__(self, snapshot: Snapshot | None) -> None:
        self._snapshot = snapshot

    def of(self, item_id: int) -> dict[str, Scalar]:
        """The caption and the columns of an item."""
        ids, table = self._read
        place = int(np.searchsorted(ids, item_id))
        return {name: table.column(name)[place].as_py() for name in table.column_names}

    @cached_property
    def _read(self) -> tuple[NDArray[np.int64], pa.Table]:
        assert self._snapshot is not None  # an item comes from it
        table = pa.Table.from_batches(self._snapshot.iter_items(), self._snapshot.items_schema())
        ids: NDArray[np.int64] = table.column("item_id").to_numpy()
        own = [name for name in ITEMS.names if name != "caption"]
        return ids, table.drop_columns(own).combine_chunks()
