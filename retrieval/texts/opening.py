"""Opens the texts of a generation for searching: the index, and newer texts in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import CollectionDamagedError, IndexFileError
from retrieval.files.reading import file_sha256
from retrieval.store.blocks import isin_sorted
from retrieval.store.current import check_size
from retrieval.store.reader import Snapshot
from retrieval.texts.calibration import TextCalibration
from retrieval.texts.card import TextIndexCard
from retrieval.texts.matching import ItemMask, TextMatcher
from retrieval.texts.text_index import CARD, TextIndex
from retrieval.texts.tokenizer import Tokenizer

MAX_DIGESTED_BYTES = 64 << 20
"""Size of an index up to which a search compares the digests of its files first."""


def open_texts(snapshot: Snapshot) -> TextMatcher | None:
    """Open the texts of a generation; None if no item has any.

    Texts that are newer than the index are indexed in memory.

    Raises:
        IndexFileError: The index is missing or damaged.
        CollectionFormatError: The index has another version.
        StorageError: No temporary folder can be written.
    """
    if not snapshot.manifest.files_in("texts"):
        return None
    folder = index_folder(snapshot)
    parts: list[tuple[TextIndex, ItemMask]] = []
    tokenizer, calibration = Tokenizer(), TextCalibration()
    newer_ids = outdated = None
    if folder is not None:
        check_files(snapshot, folder, max_digested_bytes=MAX_DIGESTED_BYTES)
        card = TextIndexCard.read(folder / CARD)
        tokenizer, calibration = card.make_tokenizer(), card.calibration
        index = TextIndex.open(folder, tokenizer)
        if len(index) != card.passages:
            raise IndexFileError(
                f"{folder} has {len(index)} rows, its card lists {card.passages}; "
                "build the index again"
            )
        newer_ids = snapshot.newer_text_ids(generation_of(folder))
        if len(index):
            parts.append((index, _without(newer_ids)))
            outdated = _outdated(index, [newer_ids, snapshot.removed_ids()], tokenizer)
    if newer_ids is None or len(newer_ids):
        newer = TextIndex.build_in_memory(snapshot.texts(newer_ids), tokenizer)
        if newer is not None:
            parts.append((newer, _all))
    return TextMatcher(parts, tokenizer, calibration, outdated)


def index_folder(snapshot: Snapshot) -> Path | None:
    """Return the folder of the text index of a generation; None if it has none."""
    folders = snapshot.text_index_folders()
    return folders[-1] if folders else None


def generation_of(folder: Path) -> int:
    """Return the generation that published an index."""
    return int(folder.name)


def check_files(snapshot: Snapshot, folder: Path, *, max_digested_bytes: int | None = None) -> None:
    """Compare the files of a text index with the manifest.

    Args:
        snapshot: The generation.
        folder: The folder of the index.
        max_digested_bytes: Compare only sizes if the index is larger; None: no limit.

    Raises:
        IndexFileError: A file is missing, or differs in size or digest.
    """
    files = [file for file in snapshot.manifest.files if snapshot.root / file.folder == folder]
    try:
        for file in files:
            check_size(snapshot.root, file)
        if max_digested_bytes is None or sum(file.bytes for file in files) <= max_digested_bytes:
            for file in files:
                if file_sha256(snapshot.root / file.path) != file.sha256:
                    raise IndexFileError(
                        f"{snapshot.root / file.path} differs from its digest; "
                        "build the index again"
                    )
    except (CollectionDamagedError, OSError) as error:
        reason = str(error).removesuffix("; restore it from a copy")
        raise IndexFileError(f"{reason}; build the index again") from error


def _outdated(
    index: TextIndex, changed_ids: list[NDArray[np.int64]], tokenizer: Tokenizer
) -> TextIndex | None:
    """Index the passages of changed and removed items, to subtract them from the statistics."""
    is_outdated = np.zeros(len(index), bool)
    for ids in changed_ids:
        is_outdated |= isin_sorted(index.rows.item_ids, ids)
    numbers = np.flatnonzero(is_outdated)
    if not len(numbers):
        return None
    return TextIndex.build_in_memory([index.rows.as_texts(numbers)], tokenizer)


def _all(item_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.ones(len(item_ids), bool)


def _without(newer_ids: NDArray[np.int64]) -> ItemMask:
    return lambda item_ids: ~isin_sorted(item_ids, newer_ids)
