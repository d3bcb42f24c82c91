"""Writes the exact vectors and the row table of a part, and reads vectors back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrieval.search.index_files import EXACT, ROWS, RowTable
from retrieval.store.blocks import SegmentBlock
from retrieval.store.reader import Snapshot
from retrieval.types import Space

if TYPE_CHECKING:
    from indexes.faiss import FaissIndex

logger = logging.getLogger(__name__)

BLOCK_ROWS = 16_384


def write_exact(
    snapshot: Snapshot, space: Space, folder: Path, after_item_id: int
) -> tuple[FaissIndex, RowTable]:
    """Write the rows of a space after an item id; equal vectors are stored once.

    Raises:
        IndexFileError, StorageError: The disk refuses.
    """
    from indexes.building import build_exact
    from indexes.equal_rows import RowDigests, drop_equal_rows
    from indexes.faiss import FaissIndex
    from indexes.saved import open_index, write_index

    blocks: list[SegmentBlock] = []
    files = snapshot.manifest.files_in(f"segments/{space.name}")
    expected = sum(file.rows for file in files if (file.last_item_id or 0) > after_item_id)
    digests = RowDigests()
    vectors = _stream_vectors(snapshot, space, after_item_id, blocks)
    exact = build_exact(digests.collect(vectors), space.dim, expected_rows=expected)
    numbers = digests.vector_numbers()
    if numbers is not None:
        equal = exact.ntotal - numbers.max() - 1
        logger.info("%s: %s rows are equal to others", space.name, f"{equal:,}")
        drop_equal_rows(exact, numbers)
    write_index(exact, folder / EXACT)
    rows = RowTable.of_blocks(blocks, numbers)
    rows.write(folder / ROWS)
    return FaissIndex(open_index(folder / EXACT)), rows


def _stream_vectors(
    snapshot: Snapshot, space: Space, after_item_id: int, blocks: list[SegmentBlock]
) -> Iterator[NDArray[np.float16]]:
    """Yield vectors block by block, and append the blocks without vectors to `blocks`."""
    no_vectors = np.empty((0, space.dim), np.float16)
    for block in snapshot.iter_segments(space.name, after_item_id=after_item_id):
        blocks.append(replace(block, vectors=no_vectors))
        yield block.vectors


def read_vectors(exact: FaissIndex) -> Iterator[NDArray[np.float32]]:
    """Yield all vectors of an exact index in blocks."""
    for first in range(0, exact.rows, BLOCK_ROWS):
        yield exact.vectors(first, min(exact.rows, first + BLOCK_ROWS))
