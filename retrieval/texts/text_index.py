"""One tantivy index of passages: built in a folder or in memory, opened for reading.

A part has a flat folder: `rows.arrow`, the files of tantivy, and a card. tantivy writes into the
folder that it opens, so reading happens through a temporary folder of links.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.errors import IndexFileError, RetrievalError, StorageError
from retrieval.texts.rows import ROW_SCHEMA, TextRows, indexed_rows, row_table
from retrieval.texts.tokenizer import Tokenizer

if TYPE_CHECKING:
    import tantivy

ROWS = "rows.arrow"
CARD = "card.json"

HEAP_BYTES = 128 << 20
"""Memory of tantivy's writer; a full one is written as a segment."""

SMALL_HEAP_BYTES = 15_000_000
"""The least that tantivy accepts, for an index in memory."""

_TEXT, _ROW, _TOKENIZER = "text", "row", "retrieval"
_HIDDEN, _LISTED = ".managed.json", "managed.json"
"""tantivy's list of its files. It is stored without a dot: no file of a collection is hidden."""

_JSON_FILES = ("meta.json", _LISTED)


class TextIndex:
    """An opened index of passages.

    Attributes:
        rows: The passages.
        total_length: Number of terms of all passages.

    Args:
        index: The tantivy index.
        rows: The passages.
        name: What errors call it.
    """

    def __init__(self, index: tantivy.Index, rows: TextRows, name: str) -> None:
        self.rows = rows
        self.total_length = rows.total_length()
        self._name = name
        self._schema = index.schema
        self._searcher = index.searcher()

    @classmethod
    def build_in_memory(
        cls, texts: Iterable[pa.RecordBatch], tokenizer: Tokenizer
    ) -> TextIndex | None:
        """Index batches of `texts/` in memory; None without a text."""
        batches: list[pa.RecordBatch] = []
        index = _new_index(None, tokenizer)
        _add(index, texts, batches.append, SMALL_HEAP_BYTES)
        if not any(batch.num_rows for batch in batches):
            return None
        index.reload()
        return cls(index, TextRows(row_table(batches)), "the index of new texts")

    @classmethod
    def open(cls, folder: Path, tokenizer: Tokenizer) -> TextIndex:
        """Open a part, also on read-only media.

        Raises:
            IndexFileError: A file is missing or damaged.
            StorageError: No temporary folder can be written.
        """
        import tantivy

        rows = TextRows.open(folder / ROWS)
        with _linked(folder) as linked, damage_errors(str(folder)):
            index = tantivy.Index.open(linked)
            index.register_tokenizer(_TOKENIZER, tokenizer.analyzer())
            opened = cls(index, rows, str(folder))  # the searcher maps all files
        if opened._searcher.num_docs != len(rows):
            raise IndexFileError(
                f"{folder} indexes {opened._searcher.num_docs} texts and has {len(rows)} rows; "
                "build the index again"
            )
        return opened

    def __len__(self) -> int:
        return len(self.rows)

    def frequency(self, term: str) -> int:
        """Count the passages that contain a term."""
        with damage_errors(self._name):
            return self._searcher.doc_freq(_TEXT, term)

    def best_rows(self, terms: Sequence[str], limit: int) -> NDArray[np.int64]:
        """Return the rows that contain any of the terms, by descending BM25 score."""
        from tantivy import Occur, Query

        queries = [(Occur.Should, self._term_query(term)) for term in terms]
        return self._search(Query.boolean_query(queries), limit)

    def phrase_rows(self, terms: Sequence[str]) -> NDArray[np.int64]:
        """Return all rows that contain the terms next to each other in this order."""
        from tantivy import Query

        if len(terms) == 1:
            return self._search(self._term_query(terms[0]), len(self))
        return self._search(Query.phrase_query(self._schema, _TEXT, list(terms)), len(self))

    def _term_query(self, term: str) -> tantivy.Query:
        from tantivy import Query

        return Query.term_query(self._schema, _TEXT, term, index_option="freq")

    def _search(self, query: tantivy.Query, limit: int) -> NDArray[np.int64]:
        if not len(self):
            return np.empty(0, np.int64)
        with damage_errors(self._name):
            limit = max(1, min(limit, len(self)))
            hits = self._searcher.search(query, limit, count=False).hits
            values = self._searcher.fast_field_values(_ROW, [address for _, address in hits])
        rows = np.array(values, np.int64)
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexFileError(f"{self._name} is damaged; build the index again")
        return rows


def write_text_index(folder: Path, texts: Iterable[pa.RecordBatch], tokenizer: Tokenizer) -> int:
    """Write the rows and the tantivy index of batches of `texts/`; return the number of rows.

    Memory holds one batch and the buffer of tantivy.

    Raises:
        StorageError: The disk refused.
    """
    try:
        index = _new_index(folder, tokenizer)
        with pa.OSFile(str(folder / ROWS), "wb") as file, pa.ipc.new_file(file, ROW_SCHEMA) as rows:
            count = _add(index, texts, rows.write_batch, HEAP_BYTES)
    except ValueError as error:  # tantivy reports errors of the disk as ValueError
        reason = " ".join(str(error).split())
        raise StorageError(f"{folder}: cannot write the index of texts ({reason})") from error
    for path in folder.glob(".*.lock"):
        path.unlink()
    (folder / _HIDDEN).rename(folder / _LISTED)
    for name in _JSON_FILES:
        (folder / name).chmod(0o666 & ~_umask())
    return count


def _new_index(folder: Path | None, tokenizer: Tokenizer) -> tantivy.Index:
    from tantivy import Index, SchemaBuilder

    schema = (
        SchemaBuilder()
        .add_text_field(_TEXT, tokenizer_name=_TOKENIZER)
        .add_integer_field(_ROW, fast=True)
        .build()
    )
    index = Index(schema) if folder is None else Index(schema, path=str(folder))
    index.register_tokenizer(_TOKENIZER, tokenizer.analyzer())
    return index


def _add(
    index: tantivy.Index, texts: Iterable[pa.RecordBatch], write: object, heap_bytes: int
) -> int:
    """Add batches to an index, pass their rows to `write`, and return the number of rows."""
    from tantivy import Document

    assert callable(write)
    writer = index.writer(heap_bytes, num_threads=1)
    row = 0
    for batch in texts:
        indexed = indexed_rows(batch)
        write(indexed.batch)
        for form in indexed.forms:
            writer.add_document(Document(text=form, row=row))
            row += 1
    writer.commit()
    writer.wait_merging_threads()
    return row


@contextmanager
def damage_errors(name: str) -> Iterator[None]:
    """Convert any error of tantivy, panics included, to IndexFileError."""
    try:
        yield
    except RetrievalError:
        raise
    except BaseException as error:
        # A panic of Rust is no subclass of Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = " ".join(str(error)[:300].split()) or type(error).__name__
        raise IndexFileError(f"{name} cannot be read ({reason}); build the index again") from error


@contextmanager
def _linked(folder: Path) -> Iterator[str]:
    """Create a temporary folder with copies of the JSON files and links to all others."""
    try:
        linked = tempfile.mkdtemp(prefix="retrieval-texts-")
    except OSError as error:
        raise StorageError(
            f"no temporary folder can be written, which searching texts needs ({error})"
        ) from error
    try:
        for path in folder.iterdir():
            if path.name in _JSON_FILES:
                name = _HIDDEN if path.name == _LISTED else path.name
                shutil.copyfile(path, os.path.join(linked, name))
            elif path.name not in (ROWS, CARD):
                os.symlink(path.resolve(), os.path.join(linked, path.name))
        yield linked
    except OSError as error:
        raise IndexFileError(f"{folder} cannot be read ({error}); build the index again") from error
    finally:
        shutil.rmtree(linked, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
