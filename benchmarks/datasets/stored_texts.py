"""Stores the texts that a suite declares in the collection of its files."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from retrieval.store.reader import Snapshot
from retrieval.store.text_rows import TextUpdate
from retrieval.store.writer import CollectionWriter
from retrieval.types import TextSource, TimedText

logger = logging.getLogger(__name__)

ItemTexts = Mapping[str, Sequence[TimedText]]
"""The texts of items, by the item's name or uri. Items without texts may be missing."""

_Row = tuple[str, float, float, str, str]


def store_texts(root: Path, texts: ItemTexts) -> int:
    """Replace the texts of all items by the declared ones; return the number of changed items.

    Args:
        root: Folder of a collection.
        texts: The texts by uri. Uris that the collection lacks are ignored.
    """
    changed = 0
    with CollectionWriter.open(root) as writer:
        snapshot = writer.snapshot
        if snapshot is None:
            return 0
        stored = _stored(snapshot)
        for uri, file in snapshot.known_files().items():
            declared = sorted(map(_row, texts.get(uri, ())))
            if declared != sorted(stored.get(file.item_id, ())):
                update = TextUpdate(tuple(map(_text, declared)))
                writer.update_texts(file.item_id, update)
                changed += 1
    logger.info("the texts of %d items stored", changed)
    return changed


def _stored(snapshot: Snapshot) -> dict[int, list[_Row]]:
    rows: dict[int, list[_Row]] = {}
    for batch in snapshot.texts():
        for row in batch.to_pylist():
            start, end = row["start_seconds"], row["end_seconds"]
            rows.setdefault(row["item_id"], []).append((
                row["source"], -1.0 if start is None else start, -1.0 if end is None else end,
                row["language"] or "", row["text"],
            ))  # fmt: skip
    return rows


def _row(text: TimedText) -> _Row:
    """Return a text as a sortable row; texts without times have -1."""
    start, end = text.start_seconds, text.end_seconds
    return (
        str(text.source), -1.0 if start is None else start, -1.0 if end is None else end,
        text.language or "", text.text,
    )  # fmt: skip


def _text(row: _Row) -> TimedText:
    source, start, end, language, text = row
    if start < 0:
        return TimedText(TextSource(source), text, language=language or None)
    return TimedText(TextSource(source), text, start, end, language or None)
