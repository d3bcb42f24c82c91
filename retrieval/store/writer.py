"""The writer of a collection, which collects changes and publishes them as generations."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.columns.notices import Notices
from retrieval.columns.types import ColumnType
from retrieval.errors import SpaceMismatchError
from retrieval.store.blocks import isin_sorted
from retrieval.store.current import read_current
from retrieval.store.folder import delete_partial_files, prepare_folder
from retrieval.store.generation import GenerationFiles, id_range_after, split_index
from retrieval.store.lock import CollectionLock
from retrieval.store.manifest import TEXT_INDEX, ListedFile, Manifest
from retrieval.store.pending import ItemBatch, PendingChanges
from retrieval.store.publish import Publication, partial_index_folder
from retrieval.store.reader import Snapshot
from retrieval.store.space_rows import SpaceRows
from retrieval.store.text_rows import TextUpdate
from retrieval.store.updates import Update
from retrieval.store.user_columns import UserColumns
from retrieval.types import EmbeddedItem, Failure, Frames, MediaInfo, Scalar, Segments, Space

EMPTY = Manifest(generation=0, spaces=(), next_item_id=0, files=())
"""The manifest of a collection without a generation."""


class CollectionWriter:
    """A context manager that holds the collection's lock and collects changes.

    The end of the block publishes pending changes; an exception discards them.

    Attributes:
        root: The collection's folder.
        snapshot: The current generation; None before the first.
        notices: Columns and values that are stored under another name or in another form.
    """

    def __init__(self, root: Path, lock: CollectionLock, snapshot: Snapshot | None) -> None:
        self.root = root
        self.snapshot = snapshot
        self._lock = lock
        self.notices = Notices()
        self._columns = self.user_columns()
        self._excluded_spaces: frozenset[str] = frozenset()
        self._open_failures: dict[str, tuple[Failure, int]] | None = None
        self._reset()

    @classmethod
    def open(cls, root: Path, *, create: bool = False) -> CollectionWriter:
        """Take the lock and open the current generation.

        Args:
            root: The collection's folder.
            create: Create the collection if there is none.

        Raises:
            CollectionNotFoundError: There is no collection, and `create` is False.
            CollectionLockedError: Another writer holds the lock.
            CollectionError: The folder holds other files.
            StorageError: The path is a file, or the folder is not writable.
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

    def __exit__(self, kind: object, *error: object) -> None:
        try:
            if kind is None:
                self.publish()
        finally:
            self._lock.release()

    # ------------------------------------------------------------ collecting

    @property
    def manifest(self) -> Manifest:
        """The manifest of the current generation, or `EMPTY` before the first."""
        return self.snapshot.manifest if self.snapshot else EMPTY

    def add_space(self, space: Space) -> None:
        """Add a space to the next generation.

        Raises:
            ValueError: The collection has a space of that name, or new items are pending.
        """
        if space.name in self._spaces:
            raise ValueError(f"{self.root} already has a space {space.name}")
        if self._pending.item_count:
            raise ValueError(
                f"cannot add space {space.name} while new items are pending; publish them first"
            )
        self._pending.spaces.append(space)
        self._spaces[space.name] = space
        self._last_ids[space.name] = -1

    def exclude_spaces(self, spaces: Collection[str]) -> None:
        """Accept new items without rows in some spaces; `add_rows` adds these rows later."""
        self._excluded_spaces = frozenset(spaces)

    def add(self, item: EmbeddedItem) -> None:
        """Add a new item; it has no rows in a space without an entry in `segments`.

        Raises:
            InvalidVectorError: A vector is NaN, infinite or not of unit length.
            DimensionMismatchError: A vector has another length than its space's.
            ColumnError: The uri or the caption is not Unicode text.
            SpaceMismatchError: The collection has no such space.
            ValueError: A space lacks the rows of an existing item; see `add_rows`.
        """
        uri = item.info.uri
        self._check_complete()
        rows = {
            name: SpaceRows.from_segments(uri, self._space(name), segments, item.frames.get(name))
            for name, segments in item.segments.items()
        }
        self._pending.add(self._columns.register(item.info), rows)
        if item.replaces is not None:
            self._pending.removed.add(item.replaces)

    def add_batch(self, batch: ItemBatch) -> None:
        """Add new items in columns that `holds_columns` accepts; errors are those of `add`."""
        self._check_complete()
        rows = {
            name: SpaceRows.from_batch(self._space(name), each) for name, each in batch.rows.items()
        }
        items = self._columns.register_batch(batch.items)
        self._pending.add_batch(replace(batch, items=items), rows)

    def holds_columns(self, columns: Mapping[str, pa.Array]) -> bool:
        """Whether user columns can be stored under their names and without changes."""
        return self._columns.holds(columns)

    def free_rows(self) -> int:
        """Return the number of rows until a shard is full, at least 1."""
        return self._pending.free_rows()

    def add_rows(self, item_id: int, space: str, segments: Segments, frames: Frames | None) -> None:
        """Add the rows, perhaps none, of an existing item in a further space.

        Raises:
            InvalidVectorError: A vector is NaN, infinite or not of unit length.
            DimensionMismatchError: A vector has another length than the space's.
            SpaceMismatchError: The collection has no such space.
            ValueError: The item is not the next one that the space lacks.
        """
        rows = SpaceRows.from_segments(f"item {item_id}", self._space(space), segments, frames)
        missing = self._next_missing_item(space)
        if missing != item_id:
            expected = "none" if missing is None else f"item {missing}"
            raise ValueError(f"item {item_id} in {space}: expected {expected}, in order of ids")
        self._pending.add_rows(item_id, space, rows)
        self._last_ids[space] = item_id

    def update(self, item_id: int, info: MediaInfo, names: Collection[str]) -> None:
        """Set columns of an existing item; its rows in every space stay.

        Args:
            item_id: The item.
            info: Holds the new values.
            names: The columns to set: `uri`, `bytes`, `mtime`, `caption` or user columns.

        Raises:
            ColumnError: The uri or the caption is not Unicode text.
            ValueError: There is no such item, or it was removed.
        """
        self._check_present(item_id)
        columns = {name: value for name, value in info.columns.items() if name in names}
        info = self._columns.register(replace(info, columns=columns))
        stored = (set(names) - columns.keys()) | info.columns.keys()
        self._pending.update(item_id, Update(info, frozenset(stored)))

    def update_texts(self, item_id: int, update: TextUpdate) -> None:
        """Set texts of an existing item; its id, its columns and its rows in every space stay.

        Raises:
            ValueError: There is no such item, or it was removed.
        """
        self._check_present(item_id)
        self._pending.update_texts(item_id, update)

    def user_columns(self) -> UserColumns:
        """Return the user columns of the current generation, to be extended."""
        if self.snapshot is None:
            return UserColumns(notices=self.notices)
        return self.snapshot.user_columns(self.notices)

    def declare_columns(self, types: Mapping[str, ColumnType]) -> None:
        """Start with the user columns of another collection; this one has no generation."""
        self._columns = UserColumns(types, notices=self.notices)

    def column_types(self) -> dict[str, ColumnType]:
        """Return the user columns and their types, those of pending items included."""
        return self._columns.types()

    def stored_columns(self, info: MediaInfo) -> dict[str, Scalar]:
        """Return the user columns of an item with the names and types they would be stored with.

        Raises:
            ColumnError: The uri or the caption is not Unicode text.
        """
        return UserColumns(self._columns.types()).stored_values(info)

    def add_failure(self, failure: Failure) -> None:
        """Record a file that could not be used."""
        self._pending.add_failure(failure)

    def resolve_failure(self, uri: str) -> None:
        """Drop the recorded failure of a uri, if any: the file is usable, or no longer listed."""
        if self._open_failures is None:
            self._open_failures = self.snapshot.open_failures() if self.snapshot else {}
        if uri in self._open_failures:
            self._pending.resolved_failures.add(uri)

    def remove(self, item_ids: Sequence[int]) -> None:
        """Remove items with the next generation; unknown and removed ids are ignored."""
        ids = np.intersect1d(np.asarray(item_ids, np.int64), self._present_ids())
        self._pending.removed.update(ids.tolist())

    def is_due(self) -> bool:
        """Whether pending changes fill a shard, or are a minute old."""
        return self._pending.is_due()

    # ------------------------------------------------------------ publishing

    def publish(self) -> Manifest | None:
        """Write pending changes as a new generation; return None if there are none.

        Raises:
            StorageError: The disk refused. Unless `CURRENT` was replaced already, the previous
                generation stays current and the changes stay pending, so a retry is possible.
        """
        pending = self._pending
        if not pending:
            return None
        previous = self.snapshot
        try:
            with self.publication() as publication:
                files = GenerationFiles(
                    root=self.root,
                    manifest=self.manifest,
                    pending=pending,
                    spaces=tuple(self._spaces.values()),
                    excluded_spaces=self._excluded_spaces,
                    items_schema=self._columns.items_schema(),
                    open_failures=self._open_failures or {},
                )
                return self.commit(
                    publication,
                    replace(
                        self.manifest,
                        spaces=files.spaces,
                        next_item_id=pending.next_item_id,
                        files=files.write(publication),
                    ),
                )
        finally:
            if self.snapshot is not previous:
                self._reset()

    def publish_files(self, files: Sequence[ListedFile], publication: Publication) -> Manifest:
        """Publish a generation of other files with the same items and spaces."""
        return self.commit(publication, replace(self.manifest, files=tuple(files)))

    @contextmanager
    def index_folder(self, space: str, *, kept_parts: int = 0) -> Iterator[Path]:
        """Publish pending changes, then yield an empty folder for a part of a space's index.

        A clean exit publishes the part. The caller builds it from `snapshot`, over the items after
        those of the kept parts.

        Args:
            space: The space.
            kept_parts: Number of leading parts to keep; all others are dropped.

        Raises:
            StorageError: The disk refused; the older index stays in use, and the folder is deleted.
        """
        self._space(space)
        with self._index_part(space, kept_parts) as folder:
            yield folder

    @contextmanager
    def text_index_folder(self, *, kept_parts: int = 0) -> Iterator[Path]:
        """Publish pending changes, then yield an empty folder for a part of the index of texts.

        A clean exit publishes the files in the folder, without subfolders, as
        `indexes/texts/GENERATION/`. The caller builds the part from `snapshot.texts`, over the
        items after those of the kept parts. `snapshot.text_index_folders` names the parts, and
        `snapshot.newer_text_ids` the items that they do not cover, or cover with older texts.

        Args:
            kept_parts: Number of leading parts to keep; all others are dropped.

        Raises:
            StorageError: The disk refused; the older index stays in use, and the folder is deleted.
        """
        with self._index_part(TEXT_INDEX, kept_parts) as folder:
            yield folder

    @contextmanager
    def _index_part(self, space: str, kept_parts: int) -> Iterator[Path]:
        self.publish()
        with partial_index_folder(self.root, space, self.manifest.generation) as partial:
            yield partial
            with self.publication() as publication:
                others, kept = split_index(self.manifest, space, kept_parts)
                id_range = id_range_after(self.manifest, space, kept)
                added = publication.add_index_part(space, partial, id_range)
                self.publish_files([*others, *kept, *added], publication)

    @contextmanager
    def publication(self) -> Iterator[Publication]:
        """Yield a publication; its generation becomes the snapshot even if a last step failed."""
        publication = Publication(self.root)
        try:
            with publication:
                yield publication
        finally:
            if publication.published is not None:
                self.snapshot = Snapshot(self.root, publication.published)

    def commit(self, publication: Publication, manifest: Manifest) -> Manifest:
        """Make a manifest current under the number of the publication's generation."""
        manifest = replace(manifest, generation=publication.generation)
        publication.commit(manifest)
        return manifest

    # ------------------------------------------------------------ state of the collection

    def reload(self) -> None:
        """Start from the current generation, after a publication that added items."""
        self._columns = self.user_columns()
        self._reset()

    def _reset(self) -> None:
        """Start to collect changes to the current generation."""
        self._pending = PendingChanges(self.manifest.next_item_id)
        self._spaces = {space.name: space for space in self.manifest.spaces}
        self._last_ids = {
            name: self.snapshot.last_embedded_id(name) if self.snapshot else -1
            for name in self._spaces
        }
        self._item_ids: NDArray[np.int64] | None = None
        self._open_failures = None

    def _space(self, name: str) -> Space:
        if name not in self._spaces:
            names = ", ".join(self._spaces) or "none"
            raise SpaceMismatchError(f"{self.root} has no space {name!r}; it has: {names}")
        return self._spaces[name]

    def _check_present(self, item_id: int) -> None:
        if not isin_sorted(np.array([item_id]), self._present_ids()).all():
            raise ValueError(f"no item {item_id} in {self.root}")

    def _present_ids(self) -> NDArray[np.int64]:
        if self._item_ids is None:
            self._item_ids = self.snapshot.item_ids() if self.snapshot else np.empty(0, np.int64)
        return self._item_ids

    def _next_missing_item(self, space: str) -> int | None:
        """Return the first item without rows in a space; None if the space is complete."""
        if self._last_ids[space] >= self.manifest.next_item_id - 1:
            return None
        ids = self._present_ids()
        for item_id in ids[np.searchsorted(ids, self._last_ids[space], side="right") :]:
            if item_id not in self._pending.removed:
                return int(item_id)
        return None

    def _check_complete(self) -> None:
        for space in self._spaces.keys() - self._excluded_spaces:
            missing = self._next_missing_item(space)
            if missing is not None:
                raise ValueError(f"{space} lacks item {missing}: add its rows before new items")
