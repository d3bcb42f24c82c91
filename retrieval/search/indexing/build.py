"""Brings the index of a collection up to date: what is done where, and its publication."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from retrieval.errors import CollectionError, CollectionFormatError, MissingExtraError, ModelError
from retrieval.protocols import Encoder
from retrieval.search.index_files import RowTable
from retrieval.search.indexing.card import IndexCard
from retrieval.search.indexing.choice import EFFORT_SECONDS, Deadline
from retrieval.search.indexing.part import CARD, ROWS, DriftError, PartWriter
from retrieval.search.indexing.plan import plan_index
from retrieval.search.indexing.request import IndexRequest
from retrieval.store.blocks import isin_sorted
from retrieval.store.writer import CollectionWriter
from retrieval.types import Space

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]
"""Told in one line what begins."""

IndexPart = tuple[Path, IndexCard]


def build_index(
    root: Path,
    *,
    request: IndexRequest | None = None,
    device: str = "cpu",
    encoders: Callable[[Space], Encoder],
    progress: Progress = logger.info,
    effort_seconds: float = EFFORT_SECONDS,
) -> list[IndexCard]:
    """Bring the index of every space up to date, and publish it: see `plan_index`.

    Vectors are streamed into the exact part, which is written and mapped; everything after that
    reads them from there, so that memory holds one part of the index at a time.

    Args:
        root: The collection's folder.
        request: What the index is to be; None: what it was before, `auto` at first.
        device: Where the approximate part is trained: `cpu`, `cuda` or `auto`.
        encoders: Gives the encoder of a space, whose text tower embeds the tuning queries.
        progress: Told what is done and why.
        effort_seconds: What choosing a kind may take for all spaces together; the kind that is
            best by then is built.

    Returns:
        The cards of every space's parts, in item order.
    Raises:
        CollectionError: The collection is empty.
        IndexBuildError: FAISS refuses the factory string, nothing fits the memory, or nothing
            reaches the target; the older index serves on.
        StorageError, IndexFileError: The disk refused; the older index serves on.
    """
    deadline = Deadline(effort_seconds)
    with CollectionWriter.open(root) as writer:
        if writer.snapshot is None or not writer.snapshot.spaces:
            raise CollectionError(f"{root} is empty; embed something first: retrieval embed")
        return [
            card
            for space in writer.snapshot.spaces
            for card in _Upkeep(writer, space, device, encoders, progress, deadline).run(request)
        ]


class _Upkeep:
    """What is done to one space's index."""

    def __init__(
        self,
        writer: CollectionWriter,
        space: Space,
        device: str,
        encoders: Callable[[Space], Encoder],
        progress: Progress,
        deadline: Deadline,
    ) -> None:
        assert writer.snapshot is not None
        self._writer = writer
        self._snapshot = writer.snapshot
        self._space = space
        self._device = device
        self._encoders = encoders
        self._say = progress
        self._deadline = deadline

    def run(self, request: IndexRequest | None) -> list[IndexCard]:
        """Do as little as keeps the index good; returns the cards of its parts."""
        parts = self._parts()
        cards = [card for _, card in parts]
        new_rows = self._snapshot.count_segments(
            self._space.name, after_item_id=cards[-1].last_item_id if cards else -1
        )
        if not cards and not new_rows:
            self._say(f"{self._space.name}: no rows to index")
            return []
        plan = plan_index(
            cards,
            request,
            new_rows=new_rows,
            removed_rows=[self._removed_rows(folder) for folder, _ in parts],
        )
        self._say(f"{self._space.name}: {plan.reason}")
        if not plan.work:
            return cards
        asked = request or (cards[0].request if cards else IndexRequest())
        kept = cards[: plan.kept]
        try:
            return [*kept, self._write(asked, kept, None if plan.train else parts[0])]
        except DriftError as error:
            self._say(f"{self._space.name}: {error}; the index is trained anew")
            return [self._write(asked, [], None)]

    def _write(
        self, request: IndexRequest, kept: Sequence[IndexCard], alike: IndexPart | None
    ) -> IndexCard:
        after = kept[-1].last_item_id if kept else -1
        with self._writer.index_folder(self._space.name, kept_parts=len(kept)) as folder:
            part = PartWriter(
                self._snapshot,
                self._space,
                request,
                folder,
                after,
                self._say,
                device=self._device,
                deadline=self._deadline,
            )
            return part.write(self._encoder(), alike)

    def _encoder(self) -> Encoder | None:
        """None where the model is not here, as after an import: rows are queries as well."""
        try:
            return self._encoders(self._space)
        except (ModelError, MissingExtraError) as error:
            self._say(f"{self._space.name}: tuned on its rows alone, without texts: {error}")
            return None

    def _parts(self) -> list[IndexPart]:
        """None where one of them cannot be read: all are built anew then."""
        try:
            return [
                (folder, IndexCard.read(folder / CARD))
                for folder in self._snapshot.index_folders(self._space.name)
            ]
        except CollectionFormatError as error:
            logger.warning("%s", error)
            return []

    def _removed_rows(self, folder: Path) -> int:
        removed = self._snapshot.removed_ids()
        if not len(removed):
            return 0
        return int(isin_sorted(RowTable.open(folder / ROWS).item_ids, removed).sum())
