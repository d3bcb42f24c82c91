"""Builds the index of a collection: exact part, approximate part, row and item tables, card."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexes.choose import choose_factory, training_rows
from retrieval.encoders.probe_texts import PROBE_TEXTS
from retrieval.errors import CollectionError, CollectionFormatError, IndexBuildError
from retrieval.protocols import Encoder
from retrieval.search.calibration import Calibration, QueryKind
from retrieval.search.card import IndexCard, digest_of_ids
from retrieval.search.index_files import RowTable, write_items
from retrieval.search.measuring import measure_calibration, measure_recall, sample_rows
from retrieval.store.reader import SegmentBlock, Snapshot
from retrieval.store.writer import CollectionWriter
from retrieval.types import Space

if TYPE_CHECKING:
    from indexes.faiss import FaissIndex

logger = logging.getLogger(__name__)

BLOCK_ROWS = 16_384

Progress = Callable[[str], None]
"""Told in one line what begins."""


def build_index(
    root: Path,
    *,
    kind: str = "auto",
    encoders: Callable[[Space], Encoder],
    progress: Progress = logger.info,
) -> list[IndexCard]:
    """Build and publish the index of every space; one that is already current is kept.

    Vectors are streamed into the exact part, which is written and mapped; everything after that
    reads them from there, so that memory holds one part of the index at a time.

    Args:
        root: The collection's folder.
        kind: `auto`, `exact` or a FAISS factory string.
        encoders: Gives the encoder of a space, whose text tower measures recall and calibration.
        progress: Told what is done, and which index is kept.

    Returns:
        The card of every space's index.
    Raises:
        CollectionError: The collection is empty.
        IndexBuildError: FAISS refuses the factory string; the older index serves on.
        StorageError, IndexFileError: The disk refused; the older index serves on.
    """
    with CollectionWriter.open(root) as writer:
        if writer.snapshot is None or not writer.snapshot.spaces:
            raise CollectionError(f"{root} is empty; embed something first: retrieval embed")
        return [
            _space_index(writer, space, kind, encoders, progress)
            for space in writer.snapshot.spaces
        ]


def _space_index(
    writer: CollectionWriter,
    space: Space,
    kind: str,
    encoders: Callable[[Space], Encoder],
    progress: Progress,
) -> IndexCard:
    snapshot = writer.snapshot
    assert snapshot is not None
    current = _current_card(snapshot, space, kind)
    if current is not None:
        progress(f"{space.name}: the index is current, kept")
        return current
    encoder = encoders(space)
    with writer.index_folder(space.name) as folder:
        return _Build(snapshot, space, kind, folder, progress).run(encoder)


def _current_card(snapshot: Snapshot, space: Space, kind: str) -> IndexCard | None:
    """The card of the space's index, if building it again would change nothing."""
    folder = snapshot.index_folder(space.name)
    if folder is None:
        return None
    try:
        card = IndexCard.read(folder / "card.json")
    except CollectionFormatError as error:
        logger.warning("%s", error)
        return None
    same = (card.last_item_id, card.removed_digest, card.kind) == (
        snapshot.covered(space.name),
        digest_of_ids(snapshot.removed_ids()),
        kind,
    )
    return card if same else None


class _Build:
    """One space's index on its way to disk."""

    def __init__(
        self, snapshot: Snapshot, space: Space, kind: str, folder: Path, progress: Progress
    ) -> None:
        self._snapshot = snapshot
        self._space = space
        self._kind = kind
        self._folder = folder
        self._progress = progress

    def run(self, encoder: Encoder) -> IndexCard:
        """Write every file of the folder."""
        from indexes.faiss import version

        began = time.monotonic()
        self._progress(f"{self._space.name}: reading the vectors")
        exact, rows = self._exact_part()
        rows.write(self._folder / "rows.arrow")
        write_items(self._snapshot, self._folder / "items.arrow")
        factory = choose_factory(self._kind, len(rows))
        if factory is None and self._kind not in ("auto", "exact"):
            self._progress(f"{self._space.name}: {len(rows)} rows are too few for {self._kind}")
        card = IndexCard(
            space=self._space.name,
            kind=self._kind,
            factory=factory,
            rows=len(rows),
            dim=self._space.dim,
            bytes=0,
            training_rows=0 if factory is None else training_rows(factory, len(rows)),
            faiss=version(),
            build_seconds=0.0,
            generation=self._snapshot.manifest.generation,
            last_item_id=self._snapshot.covered(self._space.name),
            removed_digest=digest_of_ids(self._snapshot.removed_ids()),
            recall_at_10=dict.fromkeys(QueryKind, 1.0),  # what exact search has by definition
            calibration=Calibration({}),
        )
        index = exact if factory is None else self._approximate_part(exact, factory, card)
        self._progress(f"{self._space.name}: measuring recall and scores")
        texts = encoder.encode_text(PROBE_TEXTS)
        card = replace(
            card,
            recall_at_10=card.recall_at_10 if factory is None else measure_recall(index, texts),
            calibration=measure_calibration(exact, rows, texts),
            bytes=sum(path.stat().st_size for path in self._folder.iterdir()),
            build_seconds=round(time.monotonic() - began, 3),
        )
        (self._folder / "card.json").write_text(card.to_json(), encoding="utf-8")
        return card

    def _exact_part(self) -> tuple[FaissIndex, RowTable]:
        from indexes.faiss import FaissIndex, build_exact
        from indexes.saved import open_index, write_index

        blocks: list[SegmentBlock] = []
        listed = self._snapshot.manifest.listed(f"segments/{self._space.name}")
        path = self._folder / "exact.faiss"
        write_index(
            build_exact(
                self._vectors(blocks),
                self._space.dim,
                expected_rows=sum(file.rows for file in listed),
            ),
            path,
        )
        return FaissIndex(open_index(path)), RowTable.of_blocks(blocks)

    def _vectors(self, blocks: list[SegmentBlock]) -> Iterator[NDArray[np.float16]]:
        """Stream the space's vectors; what remains of the blocks are their rows' descriptions."""
        nothing = np.empty((0, self._space.dim), np.float16)
        for block in self._snapshot.iter_segments(self._space.name):
            blocks.append(replace(block, vectors=nothing))
            yield block.vectors

    def _approximate_part(self, exact: FaissIndex, factory: str, card: IndexCard) -> FaissIndex:
        from indexes.faiss import build_approximate
        from indexes.saved import open_index, write_index

        self._progress(f"{self._space.name}: training {factory} on {card.training_rows} rows")
        sample = sample_rows(np.arange(exact.rows), card.training_rows)
        path = self._folder / "part-000.faiss"
        try:
            write_index(build_approximate(factory, exact.gather(sample), _read_back(exact)), path)
        except IndexBuildError as error:
            raise IndexBuildError(f"{self._space.name}: {error}") from error
        return exact.with_approximate(open_index(path))


def _read_back(exact: FaissIndex) -> Iterator[NDArray[np.float32]]:
    for first in range(0, exact.rows, BLOCK_ROWS):
        yield exact.vectors(first, min(exact.rows, first + BLOCK_ROWS))
