"""The rows of an index of texts: passages of bounded length, with their items and times."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retrieval.errors import IndexFileError
from retrieval.files.reading import check_regular
from retrieval.texts.folding import MAX_WORD_BYTES, ascii_form, index_form, is_short
from retrieval.types import TextSource

MAX_PASSAGE = 1_000
"""Characters of a passage. Longer texts are split into overlapping passages."""

PASSAGE_OVERLAP = 100
"""Characters that two passages of a text share, so that most phrases are complete in one."""

SOURCES = tuple(TextSource)

ROW_SCHEMA = pa.schema(
    [
        pa.field("item_id", pa.int64(), nullable=False),
        pa.field("source", pa.int8(), nullable=False),
        pa.field("start_seconds", pa.float64(), nullable=False),
        pa.field("end_seconds", pa.float64(), nullable=False),
        pa.field("length", pa.int32(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
    ]
)
"""Columns of rows.arrow; times are NaN for the whole item, `length` counts terms."""

_SOURCE_NAMES = pa.array([str(source) for source in SOURCES])


class IndexedRows(NamedTuple):
    """Rows of the table, and the form of each text that is indexed."""

    batch: pa.RecordBatch
    forms: list[str]


@dataclass(frozen=True, slots=True)
class TextRow:
    """One passage.

    Attributes:
        start_seconds: NaN for the whole item, as `end_seconds`.
        length: Number of terms.
    """

    item_id: int
    source: TextSource
    start_seconds: float
    end_seconds: float
    length: int
    text: str


class TextRows:
    """The rows of an index in item order.

    Attributes:
        item_ids: (rows,) int64, ascending.

    Args:
        table: Rows with the columns of `ROW_SCHEMA`.
    """

    def __init__(self, table: pa.Table) -> None:
        self.item_ids: NDArray[np.int64] = table.column("item_id").to_numpy()
        self._sources: NDArray[np.int8] = table.column("source").to_numpy()
        self._starts: NDArray[np.float64] = table.column("start_seconds").to_numpy()
        self._ends: NDArray[np.float64] = table.column("end_seconds").to_numpy()
        self._lengths: NDArray[np.int32] = table.column("length").to_numpy()
        chunks = table.column("text").chunks
        self._texts = [_text_buffers(chunk) for chunk in chunks]
        self._chunk_starts = np.cumsum([0, *map(len, chunks)])

    @classmethod
    def open(cls, path: Path) -> TextRows:
        """Map rows.arrow.

        Raises:
            IndexFileError: The file is missing or damaged.
        """
        try:
            check_regular(path)
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
            table.validate(full=True)
        except (OSError, pa.ArrowException, ValueError, LookupError, MemoryError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise IndexFileError(
                f"{path} cannot be read ({reason}); build the index again"
            ) from error
        if table.schema != ROW_SCHEMA or any(column.null_count for column in table.columns):
            raise IndexFileError(f"{path} has other columns or nulls; build the index again")
        return cls(table)

    def __len__(self) -> int:
        return len(self.item_ids)

    def row_of_text(self, number: int, text: str) -> TextRow:
        """Return a row whose text was read before."""
        return TextRow(
            int(self.item_ids[number]),
            SOURCES[self._sources[number]],
            float(self._starts[number]),
            float(self._ends[number]),
            int(self._lengths[number]),
            text,
        )

    def texts(self, numbers: NDArray[np.int64]) -> list[str]:
        """Return the texts of rows."""
        return [text.decode() for text in self.encoded_texts(numbers)]

    def encoded_texts(self, numbers: NDArray[np.int64]) -> list[bytes]:
        """Return the texts of rows in UTF-8."""
        # `ChunkedArray.take` joins all chunks, and scalars of Arrow are slow.
        chunks = np.searchsorted(self._chunk_starts, numbers, side="right") - 1
        places = numbers - self._chunk_starts[chunks]
        texts = []
        for chunk, place in zip(chunks.tolist(), places.tolist(), strict=True):
            offsets, data = self._texts[chunk]
            texts.append(data[offsets[place] : offsets[place + 1]].tobytes())
        return texts

    def as_texts(self, numbers: NDArray[np.int64]) -> pa.RecordBatch:
        """Return rows with the columns of `texts/` that `indexed_rows` reads."""
        return pa.RecordBatch.from_pydict(
            {
                "item_id": self.item_ids[numbers],
                "source": _SOURCE_NAMES.take(pa.array(self._sources[numbers])),
                "start_seconds": self._starts[numbers],
                "end_seconds": self._ends[numbers],
                "text": pa.array(self.texts(numbers), pa.string()),
            }
        )

    def of_items(self, item_ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the first row of each item, and the row after its last one."""
        return (
            np.searchsorted(self.item_ids, item_ids),
            np.searchsorted(self.item_ids, item_ids, side="right"),
        )

    def total_length(self) -> int:
        """Count the terms of all rows."""
        return int(self._lengths.sum(dtype=np.int64))


def indexed_rows(texts: pa.RecordBatch) -> IndexedRows:
    """Split texts of a collection into passages, and compute the form that is indexed."""
    batch = _passages(texts)
    text = batch.column("text")
    offsets, data = _text_buffers(text)
    forms_data = ascii_form(data.tobytes())
    forms: list[str] = pa.StringArray.from_buffers(
        len(text), pa.py_buffer(offsets), pa.py_buffer(forms_data)
    ).to_pylist()
    lengths = _word_counts(np.frombuffer(forms_data, np.uint8), offsets)
    # Texts that are not ASCII, or that may contain a word that is too long.
    others = np.diff(offsets) > MAX_WORD_BYTES
    others[np.searchsorted(offsets, np.flatnonzero(data >= 128), side="right") - 1] = True
    for row in np.flatnonzero(others).tolist():
        forms[row] = index_form(text[row].as_py())
        lengths[row] = sum(map(is_short, forms[row].split()))
    columns = [batch.column(name) for name in ROW_SCHEMA.names if name not in ("length", "text")]
    return IndexedRows(
        pa.RecordBatch.from_arrays([*columns, pa.array(lengths), text], schema=ROW_SCHEMA), forms
    )


def row_table(batches: list[pa.RecordBatch]) -> pa.Table:
    """Join batches of rows into one table in memory."""
    return pa.Table.from_batches(batches, ROW_SCHEMA).combine_chunks()


def _passages(texts: pa.RecordBatch) -> pa.RecordBatch:
    """Convert a batch of `texts/`, with one row per passage; `length` is missing."""
    text = texts.column("text").fill_null("")
    long = pc.greater(pc.utf8_length(text), MAX_PASSAGE)
    numbers: NDArray[np.int64] = np.arange(len(text))
    if pc.any(long).as_py():
        parts = [_split(value) for value in text.to_pylist()]
        numbers = np.repeat(numbers, [len(passages) for passages in parts])
        text = pa.array([passage for passages in parts for passage in passages], pa.string())
    taken = pa.array(numbers)
    return pa.RecordBatch.from_arrays(
        [
            texts.column("item_id").take(taken),
            pc.index_in(texts.column("source"), _SOURCE_NAMES).cast(pa.int8()).take(taken),
            texts.column("start_seconds").fill_null(np.nan).take(taken),
            texts.column("end_seconds").fill_null(np.nan).take(taken),
            text,
        ],
        names=["item_id", "source", "start_seconds", "end_seconds", "text"],
    )


def _split(text: str) -> list[str]:
    """Split a text into passages, at spaces where there are some."""
    passages, start = [], 0
    while len(text) - start > MAX_PASSAGE:
        end = start + MAX_PASSAGE
        space = text.rfind(" ", end - PASSAGE_OVERLAP, end)
        end = end if space < 0 else space
        passages.append(text[start:end])
        space = text.find(" ", end - PASSAGE_OVERLAP, end)
        start = end - PASSAGE_OVERLAP if space < 0 else space + 1
    return [*passages, text[start:]]


def _text_buffers(text: pa.StringArray) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return offsets that begin at 0, (n + 1,), and the bytes of all texts."""
    _, offset_buffer, data_buffer = text.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32)[text.offset : text.offset + len(text) + 1]
    if data_buffer is None:
        return np.zeros(len(text) + 1, np.int32), np.empty(0, np.uint8)
    data = np.frombuffer(data_buffer, np.uint8)[offsets[0] : offsets[-1]]
    return offsets - offsets[0], data


def _word_counts(forms: NDArray[np.uint8], offsets: NDArray[np.int32]) -> NDArray[np.int32]:
    """Count the words of each form in a buffer, (n,)."""
    is_word = forms != ord(" ")
    starts = is_word.copy()
    starts[1:] &= ~is_word[:-1]
    firsts = offsets[:-1][np.diff(offsets) > 0]
    starts[firsts] = is_word[firsts]
    totals: NDArray[Any] = np.concatenate([[0], np.cumsum(starts, dtype=np.int32)])
    counts: NDArray[np.int32] = (totals[offsets[1:]] - totals[offsets[:-1]]).astype(np.int32)
    return counts
