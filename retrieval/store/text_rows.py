"""Builds the rows of `texts/` and `sidecars/`, and replaces those of changed items.

A shard of either folder covers a range of items. Items whose range no shard covers have no rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retrieval.store.blocks import id_array, isin_sorted
from retrieval.store.manifest import ListedFile
from retrieval.store.schema import TEXT_SCHEMAS
from retrieval.store.shards import read_rows
from retrieval.types import Sidecar, TextSource, TimedText

ALL_SOURCES = frozenset(TextSource)

TEXT_BYTES = 200
"""Estimated memory of a text without its characters."""

BATCH_ROWS = 1024
BATCH_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class TextUpdate:
    """New texts of an item.

    Attributes:
        texts: The new texts.
        sources: The sources whose older texts they replace.
        sidecars: The files that transcripts were read from; None keeps the stored ones.
    """

    texts: tuple[TimedText, ...]
    sources: frozenset[TextSource] = ALL_SOURCES
    sidecars: tuple[Sidecar, ...] | None = None

    def __post_init__(self) -> None:
        others = {text.source for text in self.texts} - self.sources
        if others:
            raise ValueError(f"texts of {sorted(others)}, but the update replaces other sources")

    def merged_with(self, older: TextUpdate | None) -> TextUpdate:
        """Combine this update with an older one of the same item."""
        if older is None:
            return self
        kept = tuple(text for text in older.texts if text.source not in self.sources)
        sidecars = older.sidecars if self.sidecars is None else self.sidecars
        return TextUpdate(kept + self.texts, older.sources | self.sources, sidecars)

    @property
    def bytes(self) -> int:
        """Approximate memory of the texts."""
        return text_bytes(self.texts)


def text_bytes(texts: Sequence[TimedText]) -> int:
    """Estimate the memory of texts."""
    return sum(TEXT_BYTES + len(text.text) for text in texts)


# ---------------------------------------------------------------- new rows


def text_batches(
    folder: str, updates: Iterable[tuple[int, TextUpdate]]
) -> Iterator[pa.RecordBatch]:
    """Build rows of `texts` or `sidecars`.

    Args:
        folder: The folder.
        updates: Item ids and texts, in order of the ids.
    """
    rows: list[tuple[object, ...]] = []
    size = 0
    for item_id, update in updates:
        if folder == "sidecars":
            rows += [(item_id, file.name, file.bytes, file.mtime) for file in update.sidecars or ()]
        else:
            for text in update.texts:
                rows.append(_text_row(item_id, text))
                size += len(text.text)
                if len(rows) >= BATCH_ROWS or size >= BATCH_BYTES:
                    yield _batch(folder, rows)
                    rows, size = [], 0
        if len(rows) >= BATCH_ROWS:
            yield _batch(folder, rows)
            rows, size = [], 0
    if rows:
        yield _batch(folder, rows)


def _text_row(item_id: int, text: TimedText) -> tuple[object, ...]:
    source, start, end = str(text.source), text.start_seconds, text.end_seconds
    return (item_id, source, start, end, _unicode(text.language), _unicode(text.text))


def _unicode(text: str | None) -> str | None:
    """Replace lone surrogates, which Parquet cannot store."""
    return None if text is None else text.encode(errors="replace").decode()


def _batch(folder: str, rows: list[tuple[object, ...]]) -> pa.RecordBatch:
    schema = TEXT_SCHEMAS[folder]
    columns = [
        pa.array(column, field.type)
        for field, column in zip(schema, zip(*rows, strict=True), strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


# ---------------------------------------------------------------- changed rows


@dataclass(frozen=True, slots=True)
class TextShard:
    """A shard to write: its range of items, and the older one that it replaces, if any."""

    first_item_id: int
    last_item_id: int
    older: ListedFile | None
    updates: dict[int, TextUpdate]

    def batches(self, root: Path, folder: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the shard in order of the items' ids."""
        if self.older is None:
            return text_batches(folder, self.updates.items())
        return _merged_batches(root / self.older.path, folder, self.updates)


def text_shards(
    files: Sequence[ListedFile], folder: str, updates: Mapping[int, TextUpdate]
) -> list[TextShard]:
    """Group updates of existing items into the shards to write.

    Items that no shard covers get a new shard between those around them.

    Args:
        files: The listed shards of the folder, in order.
        folder: `texts` or `sidecars`.
        updates: By item id.
    """
    if folder == "sidecars":
        updates = {id_: update for id_, update in updates.items() if update.sidecars is not None}
    firsts = np.array([file.first_item_id for file in files], np.int64)
    shards = []

    def place(item_id: int) -> tuple[int, bool]:
        """Return the number of shards that start before an item, and whether the last has it."""
        number = int(np.searchsorted(firsts, item_id, side="right"))
        last = files[number - 1].last_item_id if number else None
        return number, last is not None and item_id <= last

    for (number, is_covered), group in groupby(sorted(updates), key=place):
        ids = list(group)
        chosen = {item_id: updates[item_id] for item_id in ids}
        file = files[number - 1] if is_covered else None
        if file is not None and file.first_item_id is not None and file.last_item_id is not None:
            shards.append(TextShard(file.first_item_id, file.last_item_id, file, chosen))
        elif any(
            update.texts if folder == "texts" else update.sidecars for update in chosen.values()
        ):
            shards.append(TextShard(ids[0], ids[-1], None, chosen))
    return shards


def _merged_batches(
    path: Path, folder: str, updates: Mapping[int, TextUpdate]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a shard with those of updated items replaced, in order of the ids."""
    schema = TEXT_SCHEMAS[folder]
    waiting = sorted(updates)
    updated = np.array(waiting, np.int64)
    for batch in read_rows(path, schema, batch_rows=BATCH_ROWS):
        ids = id_array(batch)
        replaced = isin_sorted(ids, updated)
        # The last item can have more rows in the next batch.
        ready = int(np.searchsorted(waiting, ids[-1])) if len(ids) else 0
        new = text_batches(folder, ((id_, updates[id_]) for id_ in waiting[:ready]))
        waiting = waiting[ready:]
        if replaced.any():
            batch = batch.filter(_kept_rows(batch, folder, replaced, updates))
        yield from _in_order([batch, *new])
    yield from text_batches(folder, ((id_, updates[id_]) for id_ in waiting))


def _kept_rows(
    batch: pa.RecordBatch, folder: str, replaced: np.ndarray, updates: Mapping[int, TextUpdate]
) -> pa.Array:
    if folder == "texts":
        ids, sources = id_array(batch), batch.column("source").to_pylist()
        for row in np.flatnonzero(replaced):
            replaced[row] = sources[row] in updates[int(ids[row])].sources
    return pa.array(~replaced)


def _in_order(batches: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of batches sorted by item; rows of one item keep their order."""
    if len(batches) == 1:
        yield batches[0]
        return
    table = pa.Table.from_batches(batches)
    yield from table.take(pc.sort_indices(table.column("item_id"))).to_batches()
