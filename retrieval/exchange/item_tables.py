"""Converts groups of rows to items in columns, with the results of `ItemReader.info`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retrieval.columns.batches import metadata_column, naturals, numbers
from retrieval.exchange.item_columns import (
    caption_column,
    in_existing_folders,
    modality_codes,
    text_column,
)
from retrieval.exchange.item_rows import ITEM_COLUMNS, ItemReader, first_filled
from retrieval.exchange.item_segments import GroupSegments
from retrieval.exchange.row_groups import RowGroup
from retrieval.media.captions import caption_texts
from retrieval.store.pending import ItemBatch
from retrieval.store.schema import ITEMS, MEDIUM_CODES, TEXTS
from retrieval.types import Space, TextSource

_MEDIA = pa.array([str(medium) for medium in MEDIUM_CODES])

Columns = Mapping[str, pa.Array]


@dataclass(frozen=True, slots=True)
class ItemTable:
    """New items of an import: parallel columns of length n.

    Attributes:
        uris: The uris.
        modalities: (n,) int8, positions in `MEDIUM_CODES`.
        durations: (n,) float64, NaN where unknown.
        columns: The columns of the items' first rows, as in the source.
        caption_column: The column of captions, if any.
        user_columns: The metadata columns, with types of the collection.
        segments: The rows of the items.
        valid: (n,) whether the rows of each item can be stored.
    """

    uris: pa.Array
    modalities: NDArray[np.int8]
    durations: NDArray[np.float64]
    columns: Columns
    caption_column: str | None
    user_columns: dict[str, pa.Array]
    segments: GroupSegments
    valid: NDArray[np.bool_]

    @classmethod
    def of(cls, group: RowGroup) -> ItemTable | None:
        """Convert a group; None if its values must be converted one by one."""
        if group.descriptions.columns is None:
            return None
        columns, reader = group.first_rows(), group.reader
        path = first_filled(columns, reader.path_columns)
        caption = first_filled(columns, reader.caption_columns)
        user_columns = _user_columns(columns, reader, path.name, caption.name)
        if not (path.is_only and caption.is_only) or user_columns is None:
            return None
        named = columns.get("modality")
        modalities = modality_codes(group.uris, named, reader.modality_of_name)
        durations = _numbers(columns.get("duration_seconds"), len(group.uris))
        segments = GroupSegments.of(group, modalities, durations)
        return cls(
            group.uris,
            modalities,
            durations,
            columns,
            caption.name,
            user_columns,
            segments,
            segments.valid_items(len(group.uris)),
        )

    def batch(self, reader: ItemReader, space: Space) -> ItemBatch:
        """Read the state of the valid items' files and return the items as they are stored."""
        columns, uris, user = self.columns, self.uris, self.user_columns
        if not self.valid.all():
            valid = pa.array(self.valid)
            uris = uris.filter(valid)
            columns = {name: column.filter(valid) for name, column in columns.items()}
            user = {name: column.filter(valid) for name, column in user.items()}
        captions = caption_column(columns.get(self.caption_column or ""), len(uris))
        fixed = [
            uris,
            _MEDIA.take(pa.array(self.modalities[self.valid])),
            *_file_states(uris, columns, reader),
            *(
                naturals(_numbers(columns.get(name), len(uris)), pa.int32(), 2.0**31)
                for name in ("width", "height")
            ),
            pa.array(self.durations[self.valid], from_pandas=True),
            captions,
        ]
        items = pa.RecordBatch.from_arrays(
            [*fixed, *user.values()], names=[*ITEMS.names[1:], *user]
        )
        return ItemBatch(items, _texts(captions), {space.name: self.segments.rows(self.valid)})


def _user_columns(
    columns: Columns, reader: ItemReader, path_column: str | None, caption_column: str | None
) -> dict[str, pa.Array] | None:
    """Convert the metadata columns; None if values must be converted one by one."""
    names = reader.user_columns(columns, path_column, caption_column)
    converted = [metadata_column(columns[name]) for name in names]
    # A row without a value in one of these columns has it as a metadata column without a value.
    for name in (path_column, caption_column):
        if name is not None and name not in ITEM_COLUMNS and columns[name].null_count:
            names.append(name)
            converted.append(pa.nulls(len(columns[name])))
    if any(column is None for column in converted):
        return None
    return dict(zip(names, converted, strict=True))


def _numbers(column: pa.Array | None, count: int) -> NDArray[np.float64]:
    return np.full(count, np.nan) if column is None else numbers(column)


def _file_states(uris: pa.Array, columns: Columns, reader: ItemReader) -> list[pa.Array]:
    """Return the columns bytes, mtime and sha256, as `ItemReader.file_state` does for each item."""
    count = len(uris)
    described = [
        naturals(_numbers(columns.get("bytes"), count), pa.int64(), 2.0**63),
        pa.array(_numbers(columns.get("mtime"), count), from_pandas=True),
        text_column(columns.get("sha256", pa.nulls(count))),
    ]
    sizes, times, digests = (column.is_valid() for column in described)
    known = pc.and_(pc.and_(sizes, times), digests)
    states = [
        pc.if_else(known, column, default)
        for column, default in zip(described, (0, 0.0, ""), strict=True)
    ]
    found = pa.array(in_existing_folders(uris))
    if not pc.any(found).as_py():
        return states
    rows = (column.filter(found).to_pylist() for column in (uris, *described))
    files = zip(*map(reader.file_state, *rows), strict=True)
    return [
        pc.replace_with_mask(column, found, pa.array(values, column.type))
        for column, values in zip(states, files, strict=True)
    ]


def _texts(captions: pa.Array) -> pa.RecordBatch:
    filled = captions.is_valid()
    positions = np.flatnonzero(filled.to_numpy(zero_copy_only=False))
    texts = captions.filter(filled)
    if pc.any(pc.match_substring(texts, "\n")).as_py():
        lines = [[text.text for text in caption_texts(caption)] for caption in texts.to_pylist()]
        positions = np.repeat(positions, [len(each) for each in lines])
        texts = pa.array([line for each in lines for line in each], pa.string())
    count = len(texts)
    columns = {
        "item_id": pa.array(positions),
        "source": pa.repeat(str(TextSource.CAPTION), count),
        "text": texts,
    }
    arrays = [
        columns[field.name] if field.name in columns else pa.nulls(count, field.type)
        for field in TEXTS
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=TEXTS)
