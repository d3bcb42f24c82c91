"""Brings the indexes of a collection up to date and publishes them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from retrieval.errors import CollectionError, CollectionFormatError, MissingExtraError, ModelError
from retrieval.progress import Progress, no_progress
from retrieval.protocols import Encoder
from retrieval.search.index_files import CARD, ROWS, RowTable
from retrieval.search.indexing.card import IndexCard
from retrieval.search.indexing.deadline import EFFORT_SECONDS, Deadline
from retrieval.search.indexing.part import DriftError, PartJob, write_part
from retrieval.search.indexing.plan import plan_update
from retrieval.search.indexing.request import IndexRequest
from retrieval.store.blocks import isin_sorted
from retrieval.store.reader import Snapshot
from retrieval.store.writer import CollectionWriter
from retrieval.texts.building import update_text_index
from retrieval.texts.tokenizer import language_of
from retrieval.types import Space

logger = logging.getLogger(__name__)


def build_index(
    root: Path,
    *,
    encoders: Callable[[Space], Encoder],
    request: IndexRequest | None = None,
    device: str = "cpu",
    effort_seconds: float = EFFORT_SECONDS,
    language: str | None = None,
    progress: Progress = no_progress,
) -> list[IndexCard]:
    """Bring the indexes of all spaces and of the texts up to date, and publish them.

    `plan_update` decides what is built for a space.

    Vectors are streamed to the exact index, which is then mapped. All later steps read them from
    there, so that memory contains one part of the index at a time.

    Args:
        root: The collection's folder.
        encoders: Returns the encoder of a space; it embeds the tuning queries.
        request: New requirements; None: as before, `auto` at first.
        device: Device for building: `cpu`, `cuda` or `auto`.
        effort_seconds: Time for choosing kinds in all spaces. The best kind so far is built then.
        language: Language of the texts, `en` or `english`, whose stemmer is applied; `none`: no
            stemmer; None: as before, no stemmer at first.
        progress: Receives the number of the current trial.

    Returns:
        The cards of the parts of all spaces, in item order.

    Raises:
        CollectionError: The collection is empty.
        QueryError: There is no stemmer for the language.
        IndexBuildError: FAISS refuses the factory string, nothing fits the memory, or no kind
            reaches the target. The previous index stays.
        StorageError, IndexFileError: The disk refused. The previous index stays.
    """
    code = language_of(language)
    deadline = Deadline(effort_seconds)
    with CollectionWriter.open(root) as writer:
        if writer.snapshot is None or not writer.snapshot.spaces:
            raise CollectionError(f"{root} is empty; embed media before building an index")
        settings = _BuildSettings(request, device, encoders, deadline, progress)
        cards = [
            card
            for space in writer.snapshot.spaces
            for card in _SpaceIndexer(writer, writer.snapshot, space, settings).update()
        ]
        update_text_index(writer, language=code, keep_language=language is None)
        return cards


@dataclass(frozen=True, slots=True)
class _BuildSettings:
    """Arguments of `build_index` that hold for all spaces."""

    request: IndexRequest | None
    device: str
    encoders: Callable[[Space], Encoder]
    deadline: Deadline
    progress: Progress


@dataclass(frozen=True, slots=True)
class _SpaceIndexer:
    """Updates the index of one space."""

    writer: CollectionWriter
    snapshot: Snapshot
    space: Space
    settings: _BuildSettings

    def update(self) -> list[IndexCard]:
        """Write a new part if needed; return the cards of all parts."""
        name, request = self.space.name, self.settings.request
        parts = self._parts()
        cards = [card for _, card in parts]
        new_rows = self.snapshot.count_segments(name, after_item_id=_last_item_id(cards))
        if not cards and not new_rows:
            logger.info("%s: no rows to index", name)
            return []
        plan = plan_update(
            cards,
            request,
            new_rows=new_rows,
            removed_rows=[self._removed_rows(folder) for folder, _ in parts],
        )
        logger.info("%s: %s", name, plan.reason)
        if not plan.write:
            return cards
        request = request or (cards[0].request if cards else IndexRequest())
        unchanged = cards[: plan.unchanged_parts]
        try:
            return [*unchanged, self._write(request, unchanged, None if plan.train else parts[0])]
        except DriftError as error:
            logger.info("%s: %s; training the index again", name, error)
            return [self._write(request, [], None)]

    def _write(
        self,
        request: IndexRequest,
        unchanged: Sequence[IndexCard],
        first: tuple[Path, IndexCard] | None,
    ) -> IndexCard:
        job = PartJob(
            snapshot=self.snapshot,
            space=self.space,
            request=request,
            device=self.settings.device,
            deadline=self.settings.deadline,
            progress=self.settings.progress,
            after_item_id=_last_item_id(unchanged),
            first=first,
        )
        with self.writer.index_folder(self.space.name, kept_parts=len(unchanged)) as folder:
            return write_part(job, folder, self._encoder())

    def _encoder(self) -> Encoder | None:
        """Load the encoder; None if its model is not available, for example after an import."""
        try:
            return self.settings.encoders(self.space)
        except (ModelError, MissingExtraError) as error:
            logger.info("%s: tuned on its rows alone, without texts: %s", self.space.name, error)
            return None

    def _parts(self) -> list[tuple[Path, IndexCard]]:
        """Return folders and cards of all parts; none if one is unreadable, to rebuild all."""
        try:
            return [
                (folder, IndexCard.read(folder / CARD))
                for folder in self.snapshot.index_folders(self.space.name)
            ]
        except CollectionFormatError as error:
            logger.warning("%s", error)
            return []

    def _removed_rows(self, folder: Path) -> int:
        removed = self.snapshot.removed_ids()
        if not len(removed):
            return 0
        return int(isin_sorted(RowTable.open(folder / ROWS).item_ids, removed).sum())


def _last_item_id(cards: Sequence[IndexCard]) -> int:
    return cards[-1].last_item_id if cards else -1
