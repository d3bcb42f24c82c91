"""Converts groups of rows to items in columns, with the results of `ItemReader.info`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.columns.arrow import python_values
from retrieval.columns.batches import metadata_column, naturals, numbers
from retrieval.exchange.item_rows import ITEM_COLUMNS, ItemReader, first_filled, parse_medium
from retrieval.exchange.item_segments import GroupSegments
from retrieval.exchange.row_groups import RowGroup
from retrieval.media.captions import MAX_CAPTION_CHARACTERS, caption_texts, join_captions
from retrieval.store.pending import ItemBatch
from retrieval.store.schema import ITEMS, MEDIUM_CODES, TEXTS
from retrieval.types import Space, TextSource

_CODES = {str(medium): code for code, medium in enumerate(MEDIUM_CODES)}
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

    uris: list[str]
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
        modalities = _modalities(group.uris, columns.get("modality"), reader)
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
        valid = pa.array(self.valid)
        columns = {name: column.filter(valid) for name, column in self.columns.items()}
        uris = [
            uri for uri, is_valid in zip(self.uris, self.valid.tolist(), strict=True) if is_valid
        ]
        captions = _captions(columns.get(self.caption_column or ""), len(uris))
        fixed = [
            pa.array(uris, pa.string()),
            _MEDIA.take(pa.array(self.modalities[self.valid])),
            *_file_states(uris, columns, reader),
            *(
                naturals(_numbers(columns.get(name), len(uris)), pa.int32(), 2.0**31)
                for name in ("width", "height")
            ),
            pa.array(self.durations[self.valid], from_pandas=True),
            pa.array(captions, pa.string()),
        ]
        user = {name: column.filter(valid) for name, column in self.user_columns.items()}
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


def _modalities(uris: list[str], column: pa.Array | None, reader: ItemReader) -> NDArray[np.int8]:
    named = [None] * len(uris) if column is None else map(parse_medium, python_values(column))
    return np.array(
        [
            _CODES[medium or reader.modality_of_name(uri)]
            for uri, medium in zip(uris, named, strict=True)
        ],
        np.int8,
    )


def _numbers(column: pa.Array | None, count: int) -> NDArray[np.float64]:
    return np.full(count, np.nan) if column is None else numbers(column)


def _file_states(uris: list[str], columns: Columns, reader: ItemReader) -> list[pa.Array]:
    """Return the columns bytes, mtime and sha256."""
    count = len(uris)
    sizes = naturals(_numbers(columns.get("bytes"), count), pa.int64(), 2.0**63).to_pylist()
    times = pa.array(_numbers(columns.get("mtime"), count), from_pandas=True).to_pylist()
    digests = python_values(columns["sha256"]) if "sha256" in columns else [None] * count
    states = list(map(reader.file_state, uris, sizes, times, digests))
    return [
        pa.array(values, field.type)
        for values, field in zip(zip(*states, strict=True), list(ITEMS)[3:6], strict=True)
    ]


def _captions(column: pa.Array | None, count: int) -> list[str | None]:
    if column is None:
        return [None] * count
    return [_caption(value) for value in python_values(column)]


def _caption(value: object) -> str | None:
    """Return what `join_captions` returns for one value; most captions only need to be stripped."""
    if isinstance(value, str) and value.isascii() and len(value) <= MAX_CAPTION_CHARACTERS:
        text = value.strip()
        if not text.startswith("["):
            return text or None
    return join_captions([value])


def _texts(captions: list[str | None]) -> pa.RecordBatch:
    positions: list[int] = []
    texts: list[str] = []
    for position, caption in enumerate(captions):
        if caption is None:
            continue
        lines = [text.text for text in caption_texts(caption)] if "\n" in caption else [caption]
        positions += [position] * len(lines)
        texts += lines
    count = len(texts)
    columns = {
        "item_id": pa.array(positions, pa.int64()),
        "source": pa.array([str(TextSource.CAPTION)] * count, pa.string()),
        "text": pa.array(texts, pa.string()),
    }
    arrays = [columns.get(field.name, pa.nulls(count, field.type)) for field in TEXTS]
    return pa.RecordBatch.from_arrays(arrays, schema=TEXTS)
