"""The one writer of a collection: collects rows, and publishes them as new generations."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from retrieval.columns.notices import Notices
from retrieval.errors import SpaceMismatchError
from retrieval.files.writing import storage_errors
from retrieval.store.blocks import contained
from retrieval.store.current import read_current
from retrieval.store.folder import delete_partial_files, prepare_folder
from retrieval.store.generation import GenerationFiles, span_behind, split_index
from retrieval.store.lock import CollectionLock
from retrieval.store.manifest import ListedFile, Manifest
from retrieval.store.pending import Pending, SpaceRows
from retrieval.store.publish import Publication, make_folder
from retrieval.store.reader import Snapshot
from retrieval.store.schema import UserColumns, items_batch
from retrieval.store.updates import Update
from retrieval.types import EmbeddedItem, Failure, Frames, MediaInfo, Scalar, Segments, Space

EMPTY = Manifest(generation=0, spaces=(), next_item_id=0, files=())
"""What a collection is before its first generation."""


class CollectionWriter:
    """Collects what is embedded, holding the collection's lock; use it as a context manager.

    Leaving the block publishes what is pending; leaving it by an exception drops it.

    Attributes:
        root: The collection's folder.
        snapshot: The current generation; None before the first.
        notices: What is stored under another name or in another form than it was given in.
    """

    def __init__(self, root: Path, lock: CollectionLock, snapshot: Snapshot | None) -> None:
        self.root = root
        self.snapshot = snapshot
        self._lock = lock
        self.notices = Notices()
        self._columns = (
            snapshot.user_columns(self.notices) if snapshot else UserColumns(notices=self.notices)
        )
        self._left_out: frozenset[str] = frozenset()
        self._open_failures: dict[str, tuple[Failure, int]] | None = None
        self._start_anew()

    @classmethod
    def open(cls, root: Path, *, create: bool = False) -> CollectionWriter:
        """Take the lock and open the current generation.

        Args:
            root: The collection's folder.
            create: Make the collection where there is none.

        Raises:
            CollectionNotFoundError: There is none, and `create` is False.
            CollectionLockedError: Another writer is at work.
            CollectionError: The folder holds something else.
            StorageError: The folder is a file, or cannot be written to.
        """
        prepare_folder(root, create=create)
        lock = CollectionLock(root)
        lock.acquire()
        try:
            snapshot = Snapshot.open(root) if read_current(root) else None
            delete_partial_files(root)
            return cls(root, lock, snapshot)
        except BaseException:
            lock.release()
            raise

    def __enter__(self) -> CollectionWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.publish()
        finally:
            self._lock.release()

    # ------------------------------------------------------------ collecting

    @property
    def manifest(self) -> Manifest:
        """The current generation's, or the empty one before the first."""
        return self.snapshot.manifest if self.snapshot else EMPTY

    def add_space(self, space: Space) -> None:
        """Make a space part of the next generation.

        Raises:
            ValueError: The collection has one of that name, or new items wait already.
        """
        if space.name in self._spaces:
            raise ValueError(f"{self.root} already has a space {space.name}")
        if self._pending.items:
            raise ValueError(f"space {space.name} comes after new items: publish those first")
        self._pending.spaces.append(space)
        self._spaces[space.name] = space
        self._covered[space.name] = -1

    def leave_out(self, spaces: Collection[str]) -> None:
        """Add items without rows in some spaces, which lack them until `add_rows` gives them."""
        self._left_out = frozenset(spaces)

    def add(self, item: EmbeddedItem) -> None:
        """Take a new item; a space without an entry in `segments` has no rows of it.

        Raises:
            InvalidVectorError: A vector is NaN, infinite or not of unit length.
            DimensionMismatchError: A vector has another length than its space's.
            ColumnError: The uri or the caption is not Unicode text.
            SpaceMismatchError: Vectors of a space that the collection does not have.
            ValueError: A space lacks items that exist: `add_rows` them first.
        """
        uri = item.info.uri
        self._check_complete()
        rows = {
            name: SpaceRows.of(uri, self._space(name), segments, item.frames.get(name))
            for name, segments in item.segments.items()
        }
        self._pending.add(self._columns.admit(item.info), rows)
        if item.replaces is not None:
            self._pending.removed.add(item.replaces)

    def add_rows(self, item_id: int, space: str, segments: Segments, frames: Frames | None) -> None:
        """Take the rows, perhaps none, that an existing item has in a further space.

        Raises:
            InvalidVectorError: A vector is NaN, infinite or not of unit length.
            DimensionMismatchError: A vector has another length than the space's.
            SpaceMismatchError: The collection has no such space.
            ValueError: Not the next living item that the space lacks.
        """
        rows = SpaceRows.of(f"item {item_id}", self._space(space), segments, frames)
        lacking = self._first_lacking(space)
        if lacking != item_id:
            expected = "none" if lacking is None else f"item {lacking}"
            raise ValueError(f"item {item_id} in {space}: expected {expected}, in order of ids")
        self._pending.add_rows(item_id, space, rows)
        self._covered[space] = item_id

    def update(self, item_id: int, info: MediaInfo, names: Collection[str]) -> None:
        """Give an existing item new values of some columns; its rows in every space stay.

        Args:
            item_id: The item.
            info: Holds the values.
            names: Columns to take from it: `uri`, `bytes`, `mtime`, `caption`, the user's.

        Raises:
            ColumnError: A column clashes with an earlier type or a reserved name.
            ValueError: No living item has the id.
        """
        if not contained(np.array([item_id]), self._living()).all():
            raise ValueError(f"no item {item_id} in {self.root}")
        columns = {name: value for name, value in info.columns.items() if name in names}
        info = self._columns.admit(replace(info, columns=columns))
        stored = (set(names) - columns.keys()) | info.columns.keys()  # some have another name now
        self._pending.update(item_id, Update(info, frozenset(stored)))

    def as_stored(self, info: MediaInfo) -> dict[str, Scalar]:
        """The user's columns of an item, under the names and with the types they would be stored.

        Raises:
            ColumnError: The uri or the caption is not Unicode text.
        """
        columns = UserColumns(self._columns.types())
        info = columns.admit(info)
        row: dict[str, Scalar] = items_batch(0, [info], columns.items_schema()).to_pylist()[0]
        return {name: row[name] for name in info.columns if name in row}

    def fail(self, failure: Failure) -> None:
        """Record a file that could not be used."""
        self._pending.fail(failure)

    def settle(self, uri: str) -> None:
        """End the recorded failure of a file, if there is one: it is good, or no longer there."""
        if self._open_failures is None:
            self._open_failures = self.snapshot.open_failures() if self.snapshot else {}
        if uri in self._open_failures:
            self._pending.settled.add(uri)

    def remove(self, item_ids: Sequence[int]) -> None:
        """Take items out with the next generation; ids of none or of removed ones are ignored."""
        ids = np.intersect1d(np.asarray(item_ids, np.int64), self._living())
        self._pending.removed.update(ids.tolist())

    def due(self) -> bool:
        """Whether pending rows fill a shard, or are a minute old."""
        return self._pending.due()

    # ------------------------------------------------------------ publishing

    def publish(self) -> Manifest | None:
        """Write what is pending as a new generation; None when nothing is.

        Raises:
            StorageError: The disk refused. Unless `CURRENT` was replaced already, the generation
                before stays current, and what was pending still is: publishing again can succeed.
        """
        pending = self._pending
        if not pending:
            return None
        before = self.snapshot
        try:
            with self.publication() as publication:
                files = GenerationFiles(
                    root=self.root,
                    manifest=self.manifest,
                    pending=pending,
                    spaces=tuple(self._spaces.values()),
                    left_out=self._left_out,
                    items_schema=self._columns.items_schema(),
                    open_failures=self._open_failures or {},
                )
                return self._commit(
                    publication,
                    replace(
                        self.manifest,
                        spaces=files.spaces,
                        next_item_id=pending.next_item_id,
                        files=files.write(publication),
                    ),
                )
        finally:
            if self.snapshot is not before:
                self._start_anew()

    def publish_files(self, files: Sequence[ListedFile], publication: Publication) -> Manifest:
        """Publish a generation of other files over the same items and spaces."""
        return self._commit(publication, replace(self.manifest, files=tuple(files)))

    @contextmanager
    def index_folder(self, space: str, *, kept: int = 0) -> Iterator[Path]:
        """An empty folder for a part of a space's index, published on clean exit.

        It must be built from `snapshot`, which has all that was pending, over the items behind
        those of the parts that stay.

        Args:
            space: The space.
            kept: Leading parts of the index that stay; all others go.

        Raises:
            StorageError: The disk refused; the older index serves on, and nothing is left behind.
        """
        self.publish()
        self._space(space)
        above = make_folder(self.root, f"indexes/{space}")
        partial = above / f".{self.manifest.generation:06d}.tmp"
        try:
            with storage_errors(partial):
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                yield partial
            with self.publication() as publication:
                others, parts = split_index(self.manifest, space, kept)
                span = span_behind(self.manifest, space, parts)
                files = publication.index(space, partial, span)
                self.publish_files([*others, *parts, *files], publication)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    @contextmanager
    def publication(self) -> Iterator[Publication]:
        """A publication; what it made current is taken over even if a last step failed."""
        publication = Publication(self.root)
        try:
            with publication:
                yield publication
        finally:
            if publication.published is not None:
                self.snapshot = Snapshot(self.root, publication.published)

    def _commit(self, publication: Publication, manifest: Manifest) -> Manifest:
        manifest = replace(manifest, generation=publication.generation)
        publication.commit(manifest)
        return manifest

    # ------------------------------------------------------------ what the collection has

    def _start_anew(self) -> None:
        """Begin to collect for the generation after the current one."""
        self._pending = Pending(self.manifest.next_item_id)
        self._spaces = {space.name: space for space in self.manifest.spaces}
        covered = self.snapshot.covered if self.snapshot else None
        self._covered = {name: covered(name) if covered else -1 for name in self._spaces}
        self._living_ids: NDArray[np.int64] | None = None
        self._open_failures = None

    def _space(self, name: str) -> Space:
        if name not in self._spaces:
            names = ", ".join(self._spaces) or "none"
            raise SpaceMismatchError(f"{self.root} has no space {name!r}; it has: {names}")
        return self._spaces[name]

    def _living(self) -> NDArray[np.int64]:
        if self._living_ids is None:
            self._living_ids = (
                self.snapshot.living_ids() if self.snapshot else np.empty(0, np.int64)
            )
        return self._living_ids

    def _first_lacking(self, space: str) -> int | None:
        """The first living item that a space was not computed for; None when it has them all."""
        if self._covered[space] >= self.manifest.next_item_id - 1:
            return None
        living = self._living()
        for item_id in living[np.searchsorted(living, self._covered[space], side="right") :]:
            if item_id not in self._pending.removed:
                return int(item_id)
        return None

    def _check_complete(self) -> None:
        for space in self._spaces.keys() - self._left_out:
            lacking = self._first_lacking(space)
            if lacking is not None:
                raise ValueError(f"{space} lacks item {lacking}: add its rows before new items")


@contextmanager
def publish_what_is_whole(writer: CollectionWriter) -> Iterator[None]:
    """On Ctrl-C or SIGTERM keep the items that are complete before the process ends."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        writer.publish()
        raise
