"""Builds the index of a collection: exact part, approximate part, row and item tables, card."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexes.choose import choose_factory, training_rows
from retrieval.encoders.probe_texts import PROBE_TEXTS
from retrieval.errors import CollectionError
from retrieval.protocols import Encoder
from retrieval.search.calibration import Background, Calibration, QueryKind
from retrieval.search.card import IndexCard
from retrieval.search.index_files import RowTable, write_items
from retrieval.store.reader import SegmentBlock, Snapshot
from retrieval.store.schema import MEDIUM_CODES
from retrieval.store.writer import CollectionWriter
from retrieval.types import Space

if TYPE_CHECKING:
    from indexes.faiss import FaissIndex

logger = logging.getLogger(__name__)

BLOCK_ROWS = 65_536
MEASURED_QUERIES = 200
"""Rows of each medium that serve as media queries; texts are as many as there are probe texts."""

NEIGHBOURS = 64
"""Neighbours among which a media query looks for one of another item."""


def build_index(
    root: Path, *, kind: str = "auto", encoders: Callable[[Space], Encoder]
) -> list[IndexCard]:
    """Build and publish the index of every space; one that is already current is kept.

    Args:
        root: The collection's folder.
        kind: `auto`, `exact` or a FAISS factory string.
        encoders: Gives the encoder of a space, whose text tower measures recall and calibration.

    Returns:
        The card of every space's index.
    Raises:
        IndexBuildError: FAISS refuses the factory string.
    """
    with CollectionWriter.open(root) as writer:
        if writer.snapshot is None:
            raise CollectionError(f"{root} is empty; embed something first")
        return [
            _space_index(writer, space, kind, encoders(space)) for space in writer.snapshot.spaces
        ]


def _space_index(writer: CollectionWriter, space: Space, kind: str, encoder: Encoder) -> IndexCard:
    snapshot = writer.snapshot
    assert snapshot is not None
    current = _current_card(snapshot, space, kind)
    if current is not None:
        logger.info("%s: the index is current", space.name)
        return current
    with writer.index_folder(space.name) as folder:
        return _Build(snapshot, space, kind, encoder, folder).run()


def _current_card(snapshot: Snapshot, space: Space, kind: str) -> IndexCard | None:
    folder = snapshot.index_folder(space.name)
    if folder is None:
        return None
    card = IndexCard.read(folder / "card.json")
    same = (card.last_item_id, card.removed, card.kind) == (
        snapshot.covered(space.name),
        len(snapshot.removed_ids()),
        kind,
    )
    return card if same else None


class _Build:
    """One space's index on its way to disk."""

    def __init__(
        self, snapshot: Snapshot, space: Space, kind: str, encoder: Encoder, folder: Path
    ) -> None:
        self._snapshot = snapshot
        self._space = space
        self._kind = kind
        self._encoder = encoder
        self._folder = folder
        self._rng = np.random.default_rng(0)

    def run(self) -> IndexCard:
        """Write every file of the folder."""
        from indexes.faiss import FaissIndex, build_approximate, build_exact, version
        from indexes.saved import open_index, write_index

        began = time.monotonic()
        blocks: list[SegmentBlock] = []
        write_index(
            build_exact(self._vectors(blocks), self._space.dim), self._folder / "exact.faiss"
        )
        # From here on the exact part is mapped: memory holds one block of it at a time.
        exact = FaissIndex(open_index(self._folder / "exact.faiss"))
        rows = RowTable.of_blocks(blocks)
        rows.write(self._folder / "rows.arrow")
        write_items(self._snapshot, self._folder / "items.arrow")
        factory = choose_factory(self._kind, len(rows))
        trained = 0
        index = exact
        if factory is not None:
            sample = self._rng.choice(len(rows), training_rows(len(rows)), replace=False)
            trained = len(sample)
            part = build_approximate(factory, exact.gather(np.sort(sample)), _read_back(exact))
            write_index(part, self._folder / "part-000.faiss")
            index = exact.with_approximate(part)
        texts = self._encoder.encode_text(PROBE_TEXTS)
        recall = self._recall(index, rows, texts) if factory is not None else {}
        card = IndexCard(
            space=self._space.name,
            kind=self._kind,
            factory=factory,
            rows=len(rows),
            dim=self._space.dim,
            bytes=sum(path.stat().st_size for path in self._folder.iterdir()),
            training_rows=trained,
            faiss=version(),
            build_seconds=round(time.monotonic() - began, 3),
            last_item_id=self._snapshot.covered(self._space.name),
            removed=len(self._snapshot.removed_ids()),
            recall_at_10=recall,
            calibration=self._calibration(exact, rows, texts),
        )
        (self._folder / "card.json").write_text(card.to_json())
        return card

    def _vectors(self, blocks: list[SegmentBlock]) -> Iterator[NDArray[np.float16]]:
        """Stream the space's vectors; what remains of the blocks are their rows' descriptions."""
        nothing = np.empty((0, self._space.dim), np.float16)
        for block in self._snapshot.iter_segments(self._space.name):
            blocks.append(
                SegmentBlock(
                    block.item_ids, block.media, block.start_seconds, block.end_seconds, nothing
                )
            )
            yield block.vectors

    def _recall(
        self, index: FaissIndex, rows: RowTable, texts: NDArray[np.float32]
    ) -> dict[str, float]:
        """Share of the ten exact neighbours that the index finds, for texts and for rows."""
        chosen = self._sample(np.arange(len(rows)))
        return {
            QueryKind.TEXT.value: _recall_at_10(index, texts, None),
            QueryKind.MEDIA.value: _recall_at_10(index, index.gather(chosen), chosen),
        }

    def _calibration(
        self, exact: FaissIndex, rows: RowTable, texts: NDArray[np.float32]
    ) -> Calibration:
        """Measure unrelated texts, and rows against rows of other items, medium by medium."""
        backgrounds = {}
        for code, medium in enumerate(MEDIUM_CODES):
            of_medium = rows.media == code
            if not of_medium.any():
                continue
            scores, _ = exact.search(texts, 1, allowed=of_medium)
            backgrounds[(QueryKind.TEXT, medium)] = Background.of(scores[:, 0])
            chosen = self._sample(np.flatnonzero(of_medium))
            scores, ids = exact.search(exact.gather(chosen), NEIGHBOURS, allowed=of_medium)
            other = (ids >= 0) & (rows.item_ids[ids] != rows.item_ids[chosen][:, None])
            best = np.where(other, scores, -np.inf).max(axis=1)
            backgrounds[(QueryKind.MEDIA, medium)] = Background.of(best)
        return Calibration(backgrounds)

    def _sample(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        size = min(MEASURED_QUERIES, len(rows))
        return np.sort(self._rng.choice(rows, size, replace=False))


def _read_back(exact: FaissIndex) -> Iterator[NDArray[np.float32]]:
    for first in range(0, exact.rows, BLOCK_ROWS):
        yield exact.vectors(first, min(exact.rows, first + BLOCK_ROWS))


def _recall_at_10(
    index: FaissIndex, queries: NDArray[np.float32], own_rows: NDArray[np.int64] | None
) -> float:
    """Recall of ten neighbours; a row that asks for itself is left out of both answers."""
    k = min(10 if own_rows is None else 11, index.rows)
    _, exact = index.search(queries, k, exact=True)
    _, found = index.search(queries, k)
    shares = []
    for row, (want, got) in enumerate(zip(exact, found, strict=True)):
        wanted = want if own_rows is None else want[want != own_rows[row]]
        if len(wanted):
            shares.append(float(np.isin(wanted[:10], got).mean()))
    return round(float(np.mean(shares)), 4) if shares else 1.0
