"""The files of a collection by uri, held as columns: a million of them need little memory."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retrieval.store.blocks import isin_sorted
from retrieval.types import KnownFile

NAMES = ["item_id", "uri", "bytes", "mtime", "sha256"]
"""The columns of items that are read."""


class KnownFiles(Mapping[str, KnownFile]):
    """The stored state of the file of each item, by uri, in the order of the items.

    A uri is found by its hash in a sorted array. If several items have one uri, the last counts.

    Args:
        batches: Rows with the columns `NAMES`.
    """

    def __init__(self, batches: Iterable[pa.RecordBatch] = ()) -> None:
        fields = [pa.int64(), pa.string(), pa.int64(), pa.float64(), pa.string()]
        schema = pa.schema(list(zip(NAMES, fields, strict=True)))
        table = pa.Table.from_batches(list(batches), schema)
        self._uris, self._digests = table.column("uri"), table.column("sha256")
        self._ids: NDArray[np.int64] = table.column("item_id").to_numpy()
        self._sizes, self._times = table.column("bytes"), table.column("mtime")
        hashes = np.fromiter(map(hash, _values(self._uris)), np.int64, table.num_rows)
        self._rows = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._rows]
        self._dropped: set[int] = self._repeated_rows()
        self._renamed: dict[str, KnownFile] = {}

    def _repeated_rows(self) -> set[int]:
        """Return the rows whose uri a later row has, too."""
        repeated = set()
        for position in np.flatnonzero(self._hashes[1:] == self._hashes[:-1]):
            later = position + 1
            while later < len(self._hashes) and self._hashes[later] == self._hashes[position]:
                row = int(self._rows[position])
                if self._uris[row].as_py() == self._uris[int(self._rows[later])].as_py():
                    repeated.add(row)
                later += 1
        return repeated

    def __getitem__(self, uri: str) -> KnownFile:
        if uri in self._renamed:
            return self._renamed[uri]
        row = self._row(uri)
        if row is None:
            raise KeyError(uri)
        return self._file(row)

    def __contains__(self, uri: object) -> bool:
        return isinstance(uri, str) and (uri in self._renamed or self._row(uri) is not None)

    def contains(self, strings: pa.Array) -> NDArray[np.bool_]:
        """Return which of n uris are known, (n,), as `in` does for each."""
        if not len(self):
            return np.zeros(len(strings), np.bool_)
        uris = strings.to_pylist()
        hashes = np.fromiter(map(hash, uris), np.int64, len(uris))
        alike = isin_sorted(hashes, self._hashes)
        rows = self._rows[np.searchsorted(self._hashes, hashes[alike])]
        equal = pc.equal(self._uris.take(pa.array(rows)), strings.filter(pa.array(alike)))
        known = alike.copy()
        known[alike] = equal.to_numpy()
        # Several uris can have one hash, and a row can be dropped or its uri changed.
        changed = self._renamed or self._dropped
        for row in range(len(uris)) if changed else np.flatnonzero(alike & ~known).tolist():
            known[row] = uris[row] in self
        return known

    def __len__(self) -> int:
        return len(self._ids) - len(self._dropped) + len(self._renamed)

    def __iter__(self) -> Iterator[str]:
        for row, uri in enumerate(_values(self._uris)):
            if row not in self._dropped:
                yield uri
        yield from self._renamed

    def items(self) -> ItemsView[str, KnownFile]:
        """Return uris and files; an iteration reads the columns in order."""
        return _Items(self)

    def update(self, files: Mapping[str, KnownFile]) -> None:
        """Add files, or replace those of the same uri; they become the last ones."""
        for uri, file in files.items():
            self._drop(uri)
            self._renamed[uri] = file

    def rename(self, old_uri: str, uri: str) -> KnownFile:
        """Change the uri of a file, which becomes the last one."""
        file = self[old_uri]
        self._drop(old_uri)
        self.update({uri: file})
        return file

    def _drop(self, uri: str) -> None:
        if uri in self._renamed:
            del self._renamed[uri]
        elif (row := self._row(uri)) is not None:
            self._dropped.add(row)

    def uris_of_size(self, size: int) -> list[str]:
        """Return the uris of the files with a number of bytes."""
        sizes, rows = self._by_size
        first, last = np.searchsorted(sizes, [size, size + 1])
        found = [row for row in rows[first:last].tolist() if row not in self._dropped]
        renamed = [uri for uri, file in self._renamed.items() if file.bytes == size]
        return [self._uris[row].as_py() for row in found] + renamed

    @cached_property
    def _by_size(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        sizes = self._sizes.to_numpy()
        rows = np.argsort(sizes, kind="stable")
        return sizes[rows], rows

    def _row(self, uri: str) -> int | None:
        if not len(self._hashes):
            return None
        key = hash(uri)
        position = int(self._hashes.searchsorted(key))
        while position < len(self._hashes) and self._hashes[position] == key:
            row = int(self._rows[position])
            if row not in self._dropped and self._uris[row].as_py() == uri:
                return row
            position += 1
        return None

    def _file(self, row: int) -> KnownFile:
        columns = (self._sizes, self._times, self._digests)
        return KnownFile(int(self._ids[row]), *(column[row].as_py() for column in columns))

    def _files(self) -> Iterator[tuple[str, KnownFile]]:
        values = map(_values, (self._uris, self._sizes, self._times, self._digests))
        for row, (uri, *state) in enumerate(zip(*values, strict=True)):
            if row not in self._dropped:
                yield uri, KnownFile(int(self._ids[row]), *state)
        yield from self._renamed.items()


class _Items(ItemsView[str, KnownFile]):
    _mapping: KnownFiles

    def __iter__(self) -> Iterator[tuple[str, KnownFile]]:
        return self._mapping._files()


def _values(column: pa.ChunkedArray) -> Iterator[Any]:
    """Yield the values of a column as Python objects, chunk by chunk."""
    for chunk in column.chunks:
        yield from chunk.to_pylist()
