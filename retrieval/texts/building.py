"""Builds the text index of a collection, if its texts or its language changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.errors import CollectionFormatError, IndexFileError
from retrieval.files.writing import write_text
from retrieval.store.blocks import isin_sorted
from retrieval.store.reader import Snapshot
from retrieval.store.writer import CollectionWriter
from retrieval.texts.calibration import TextCalibration
from retrieval.texts.card import TextIndexCard
from retrieval.texts.matching import TextMatcher
from retrieval.texts.opening import check_files, generation_of, index_folder
from retrieval.texts.probes import probe_coverages, probe_statistics
from retrieval.texts.rows import TextRows
from retrieval.texts.text_index import CARD, ROWS, TextIndex, write_text_index
from retrieval.texts.tokenizer import TOKENIZER_VERSION, Tokenizer

logger = logging.getLogger(__name__)

MAX_REMOVED_SHARE = 0.2
"""The index is built again when a larger share of its rows belongs to removed items."""

BATCH_ROWS = 16_384
"""Rows that are indexed together."""


def update_text_index(
    writer: CollectionWriter, *, language: str | None = None, keep_language: bool = True
) -> TextIndexCard | None:
    """Bring the text index of a collection up to date, and publish it.

    Args:
        writer: The writer of the collection.
        language: ISO 639-1 code of the stemmer; None: no stemmer.
        keep_language: Use the language of the present index instead.

    Returns:
        The card of the index; None if the collection has no texts.

    Raises:
        StorageError: The disk refused. The previous index stays.
    """
    snapshot = writer.snapshot
    if snapshot is None or not snapshot.manifest.files_in("texts"):
        return None
    present = _present(snapshot)
    if present is not None and keep_language:
        language = present.card.language
    reason = "the first index of texts" if present is None else _reason(snapshot, present, language)
    if reason is None:
        assert present is not None
        logger.info("texts: unchanged")
        return present.card
    logger.info("texts: %s", reason)
    with writer.text_index_folder() as folder:
        card = write_index_folder(snapshot, folder, Tokenizer(language))
    logger.info("%s", card.summary())
    return card


def write_index_folder(snapshot: Snapshot, folder: Path, tokenizer: Tokenizer) -> TextIndexCard:
    """Write the text index of a generation with its card.

    Args:
        snapshot: The generation.
        folder: Empty folder for the files.
        tokenizer: Tokenizer of the index.
    """
    start = time.monotonic()
    texts = _CountedTexts(snapshot)
    passages = write_text_index(folder, texts.batches(), tokenizer)
    calibration = TextCalibration()
    if passages:
        index = TextIndex.open(folder, tokenizer)
        matcher = TextMatcher(
            [(index, lambda ids: np.ones(len(ids), bool))], tokenizer, calibration
        )
        calibration = TextCalibration.of(probe_coverages(matcher, probe_statistics(matcher)))
    card = TextIndexCard(
        tokenizer=TOKENIZER_VERSION,
        language=tokenizer.language,
        texts=texts.rows,
        passages=passages,
        generation=snapshot.manifest.generation,
        tantivy=version("tantivy"),
        bytes=sum(path.stat().st_size for path in folder.iterdir()),
        build_seconds=round(time.monotonic() - start, 3),
        calibration=calibration,
    )
    write_text(folder / CARD, card.to_json())
    return card


class _CountedTexts:
    """Reads the texts of a generation in batches of similar size, and counts them."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self.rows = 0

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield batches of `texts/`; small ones are joined unless their texts are long."""
        waiting: list[pa.RecordBatch] = []
        for batch in self._snapshot.texts():
            self.rows += batch.num_rows
            waiting.append(batch)
            rows = sum(each.num_rows for each in waiting)
            if rows >= BATCH_ROWS or sum(each.nbytes for each in waiting) >= 100 * BATCH_ROWS:
                yield pa.concat_batches(waiting)
                waiting = []
        if waiting:
            yield pa.concat_batches(waiting)


@dataclass(frozen=True, slots=True)
class _PresentIndex:
    """An index that is complete, its card and the items of its rows."""

    folder: Path
    card: TextIndexCard
    item_ids: NDArray[np.int64]


def _present(snapshot: Snapshot) -> _PresentIndex | None:
    """Read the index of a generation; None if there is none, or it cannot be used."""
    folder = index_folder(snapshot)
    if folder is None:
        return None
    try:
        check_files(snapshot, folder)
        card = TextIndexCard.read(folder / CARD)
        return _PresentIndex(folder, card, TextRows.open(folder / ROWS).item_ids)
    except (IndexFileError, CollectionFormatError) as error:
        logger.warning("%s", error)
        return None


def _reason(snapshot: Snapshot, present: _PresentIndex, language: str | None) -> str | None:
    """Return why the index is built again; None if it is up to date."""
    if present.card.language != language:
        return f"indexing again with the language {language or 'none'}"
    newer = snapshot.newer_text_ids(generation_of(present.folder))
    if isin_sorted(present.item_ids, newer).any() or next(snapshot.texts(newer), None) is not None:
        return "indexing again, because texts changed"
    removed = isin_sorted(present.item_ids, snapshot.removed_ids()).sum()
    if removed > MAX_REMOVED_SHARE * len(present.item_ids):
        return "indexing again without removed items"
    return None
