"""`MediaFolder`: a folder of media that is searched through its automatic collection."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Collection as AnyOf
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.automatic.finding import (
    canonical_model,
    check_model,
    find_covering,
    real_folder,
    widen_inner,
)
from retrieval.automatic.mounts import mount_points, unmounted
from retrieval.automatic.needs import Needs
from retrieval.automatic.records import AutomaticCollection, create_record
from retrieval.collection import Collection
from retrieval.embedding.options import DEFAULT_MODEL, EmbedOptions, EmbedReport
from retrieval.encoders.inventory import MissingEncoder
from retrieval.errors import CollectionError, CollectionLockedError, SourceError, StorageError
from retrieval.media.names import extension
from retrieval.media.sources.folders import walk
from retrieval.media.sources.listing import Listing
from retrieval.progress import Progress, no_progress
from retrieval.search.arguments import targets_of
from retrieval.store.reader import Snapshot
from retrieval.targets import Target

if TYPE_CHECKING:  # It imports decoders, which a search without new files does not need.
    from retrieval.estimate.costs import Estimate

logger = logging.getLogger(__name__)

ESTIMATE_SECONDS = 2.0
"""Time to measure the models on files of each modality before the first run."""

INDEX_SHARE = 0.1
"""The index is updated when more than this share of a space's rows is new."""

INDEX_EFFORT_SECONDS = 60.0

MAX_FILES = 100
"""A collection of more files is compacted: every update adds some."""


@dataclass(frozen=True, slots=True)
class FolderContent:
    """The media files of a folder by extension, and the number of other files by suffix."""

    media: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)


class MediaFolder:
    """A folder of media, and the collection that it is searched through.

    Args:
        path: The folder; links are resolved.
        model: Model of a new collection, as `embed` takes it; None: the default model.
        inside: Keep a new collection inside the folder, in `.retrieval`.
        device: Device of models and indexes.
        localizer: Localizer of moments; see `Collection.open`.

    Attributes:
        path: Real path of the folder.

    Raises:
        SourceError: There is no such folder.
        OtherModelError: The collection has items of another model.
        CollectionError: The collection lies elsewhere, and `inside` is set.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        model: str | None = None,
        inside: bool = False,
        device: str = "auto",
        localizer: str = "auto",
    ) -> None:
        self.path = real_folder(path)
        self._inside = inside
        self._device, self._localizer = device, localizer
        self._automatic = find_covering(self.path)
        if self._automatic is None and not inside:
            self._automatic = widen_inner(self.path)
        self._model = self._checked_model(model)
        self._updated: Needs | None = None

    def _checked_model(self, model: str | None) -> str:
        found = self._automatic
        if found is None:
            return canonical_model(model or DEFAULT_MODEL)
        if self._inside and not (found.is_inside and found.folder == self.path):
            raise CollectionError(
                f"{self.path} already has an automatic collection in {found.home}, made for "
                f"{found.folder}; delete it to keep one inside the folder"
            )
        if model is not None:
            check_model(found, model)
            return canonical_model(model)
        return found.record.model

    # ------------------------------------------------------------ the collection

    @property
    def model(self) -> str:
        """Name of the model."""
        return self._model

    @property
    def is_new(self) -> bool:
        """Whether nothing is embedded yet."""
        return self._automatic is None or not self._automatic.is_published

    @property
    def home(self) -> Path | None:
        """The folder that holds the collection; None before the first update."""
        return None if self._automatic is None else self._automatic.home

    @cached_property
    def collection(self) -> Collection:
        """The collection; its answers are restricted to this folder.

        Raises:
            SourceError: The folder was never embedded.
        """
        if self._automatic is None:
            raise SourceError(f"{self.path} has no automatic collection yet; update it first")
        whole = self._automatic.folder == self.path
        return Collection(
            self._automatic.root,
            device=self._device,
            localizer=self._localizer,
            below=None if whole else self.path,
        )

    def is_current(self, needs: Needs) -> bool:
        """Whether this object has embedded what a query needs."""
        return self._updated is not None and self._updated >= needs

    # ------------------------------------------------------------ before an update

    def scan(self, progress: Progress = no_progress) -> FolderContent:
        """Count the media files of the folder by extension, without opening them.

        Raises:
            SourceError: The folder cannot be read.
        """
        listing = Listing((), lambda failure: None)  # `embed` reports failures
        media: Counter[str] = Counter()
        for count, file in enumerate(walk(str(self.path), listing), 1):
            media[extension(file.path)] += 1
            progress("listing files", count, None)
        return FolderContent(media, listing.skipped)

    def missing_encoders(self, content: FolderContent, needs: Needs) -> list[MissingEncoder]:
        """Return the encoders that an update needs and that are not on this machine."""
        from retrieval.embedding.missing import missing_encoders

        options = self._options(content, needs)
        root = self.path / "none" if self._automatic is None else self._automatic.root
        return missing_encoders(root, options)

    def estimate(
        self, content: FolderContent, needs: Needs, progress: Progress = no_progress
    ) -> Estimate:
        """Estimate the first update; models are loaded and timed for some seconds."""
        self._create()
        from retrieval.estimate.costs import estimate_sources

        return estimate_sources(
            [str(self.path)],
            self._options(content, needs),
            budget_seconds=ESTIMATE_SECONDS,
            load=self.collection.load_encoder,
            progress=progress,
        )

    def check_media(self, content: FolderContent, needs: Needs) -> None:
        """Refuse a folder without any file that a query needs and without a collection.

        Raises:
            SourceError: Nothing can be found there.
        """
        if not self.is_new or needs.media_of(content.media):
            return
        if content.media:
            kinds = ", ".join(f".{name}" for name in sorted(content.media)[:8])
            raise SourceError(f"{self.path} has no file of the type that is searched, only {kinds}")
        inner = next((path for path in sorted(self.path.glob("*/CURRENT"))), None)
        if inner is not None:
            raise SourceError(
                f"{self.path} has no media files, but {inner.parent} is a collection; search that"
            )
        others = sum(content.others.values())
        found = f"; it has {others} other files" if others else ""
        raise SourceError(f"{self.path} has no images, recordings or videos{found}; name another")

    # ------------------------------------------------------------ the update

    def update(
        self,
        needs: Needs | None = None,
        progress: Progress = no_progress,
        content: FolderContent | None = None,
    ) -> EmbedReport | None:
        """Embed what is new or changed and what a query needs; remove what was deleted.

        If another process is writing, or the disk refuses, the items that are embedded stay
        searchable, and a warning says so.

        Args:
            needs: What the query needs; None: everything.
            progress: Receives the number of files.
            content: Result of `scan`.

        Returns:
            The report; None if nothing was embedded or compared.

        Raises:
            SourceError: The folder cannot be read, or contains no such media.
            ModelError: A model is not available.
            CollectionLockedError, StorageError: Nothing is embedded yet.
        """
        needs = needs or Needs()
        if self.is_current(needs):
            return None
        content = content or self.scan(progress)
        self.check_media(content, needs)
        if not content.media:
            logger.warning(
                "%s has no media files, as a drive that is not mounted; what was embedded is kept",
                self.path,
            )
            return None
        try:
            automatic = self._create()
            report = self._embed(automatic, content, needs, progress)
            self._maintain(progress)
        except (CollectionLockedError, StorageError) as error:
            if self.is_new:
                raise
            logger.warning("%s; the answer comes from what was embedded before", error)
            self.collection.refresh()
            return None
        self._updated = needs if self._updated is None else self._updated | needs
        return report

    def _create(self) -> AutomaticCollection:
        if self._automatic is None:
            self._automatic = create_record(self.path, self._model, inside=self._inside)
        elif self._automatic.record.model != self._model:
            record = replace(self._automatic.record, model=self._model)
            self._automatic = self._automatic.with_record(record)
        return self._automatic

    def _options(self, content: FolderContent, needs: Needs) -> EmbedOptions:
        return EmbedOptions(
            models=(self._model,),
            device=self._device,
            modalities=needs.modalities,
            media=needs.media_of(content.media),
        )

    def _embed(
        self,
        automatic: AutomaticCollection,
        content: FolderContent,
        needs: Needs,
        progress: Progress,
    ) -> EmbedReport:
        missing = unmounted(automatic.record.mounts, self.path)
        for mount in missing:
            logger.warning("%s is not mounted; its items are kept", mount)
        count = content.media.total()

        def show(task: str, done: float, total: float | None, note: str = "") -> None:
            progress(task, done, total or count, note)

        options = replace(self._options(content, needs), prune=not missing)
        report = self.collection.add(self.path, options=options, progress=show)
        if not missing and not self.is_new and (any(report.added.values()) or report.renamed):
            uris = self.collection.snapshot.known_files()
            record = replace(automatic.record, mounts=mount_points(automatic.folder, uris))
            self._automatic = automatic.with_record(record)
        return report

    def _maintain(self, progress: Progress) -> None:
        """Index the collection if that is worthwhile, and compact it."""
        if self.is_new:
            return  # every file failed
        snapshot = self.collection.snapshot
        if is_index_due(snapshot):
            self.collection.index(effort_seconds=INDEX_EFFORT_SECONDS, progress=progress)
        if len(snapshot.manifest.files) > MAX_FILES:
            self.collection.compact()


def is_index_due(snapshot: Snapshot) -> bool:
    """Whether many rows of a space are not in its index."""
    for space in snapshot.spaces:
        files = snapshot.manifest.files_in(f"segments/{space.name}")
        rows = sum(file.rows for file in files)
        indexed = [
            file.last_item_id
            for file in snapshot.manifest.files
            if file.path.startswith(f"indexes/{space.name}/") and file.last_item_id is not None
        ]
        new_rows = snapshot.count_segments(space.name, after_item_id=max(indexed, default=-1))
        if new_rows > INDEX_SHARE * rows:
            return True
    return False


def open_folder(
    folder: str | os.PathLike[str],
    *,
    to: str | AnyOf[Target | str] | None = (),
    model: str | None = None,
    inside: bool = False,
    device: str = "auto",
    localizer: str = "auto",
    progress: Progress = no_progress,
) -> Collection:
    """Bring the automatic collection of a media folder up to date, and open it.

    Args:
        folder: The folder.
        to: Targets of the searches to come, any of image, music, video, moment. Only files that
            they can find are embedded; if empty, all.
        model: Model of a new collection; None: the default model.
        inside: Keep a new collection inside the folder, instead of the user's data directory.
        device: Device of models and indexes: `auto`, `cpu` or `cuda`.
        localizer: `auto`, `similarity`, `hammer` or `hammer:FOLDER`.
        progress: Receives the number of files.

    Raises:
        SourceError: The folder does not exist, cannot be read, or contains no media.
        OtherModelError: The folder is embedded by another model.
        WeightsNotAvailableError: The weights of the model are not on this machine.
    """
    opened = MediaFolder(folder, model=model, inside=inside, device=device, localizer=localizer)
    opened.update(Needs.of(targets_of(to)), progress)
    return opened.collection
