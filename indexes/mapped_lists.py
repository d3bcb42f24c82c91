"""Memory-mapped inverted lists for FAISS's fast-scan indexes.

FAISS maps the lists of other IVF indexes (`OnDiskInvertedLists`) but reads those of fast-scan
indexes into memory. Its search works with any kind of lists, however, so the index is written
without rows, followed by its lists in the same file:

    index without rows | padding to a multiple of PAGE | per list: code blocks, ids | list sizes

and on-disk lists are attached when the file is opened. Codes and ids of a list are padded to whole
blocks, usually of 32 codes. Sizes are int64.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.gpus import innermost_index

ID_BYTES: Final = 8
PAGE: Final = 4096


def fast_scan(index: Any) -> Any | None:
    """Return the fast-scan IVF-PQ index behind any transforms; None for other indexes."""
    inner = innermost_index(index)
    supported = hasattr(faiss, "OnDiskInvertedLists")  # not on Windows
    return inner if supported and isinstance(inner, faiss.IndexIVFPQFastScan) else None


def write_with_lists(index: Any, file: IO[bytes]) -> None:
    """Write an index; the lists of a fast-scan index follow it."""
    writer = faiss.PyCallbackIOWriter(file.write)
    ivf = fast_scan(index)
    if ivf is None:
        faiss.write_index(index, writer)
        return
    with _without_rows(index, ivf):
        faiss.write_index(index, writer)
    file.write(bytes(-file.tell() % PAGE))
    _write_lists(ivf, file)


def map_lists(index: Any, path: Path) -> None:
    """Map the lists in a file if the index was written without them.

    Raises:
        OSError: The file does not end with the lists of this index.
    """
    ivf = None if index.ntotal else fast_scan(index)
    if ivf is None:
        return
    sizes, start = _read_sizes(path, ivf)
    capacities = _pad_to_blocks(sizes, ivf)
    list_bytes = capacities * (ivf.code_size + ID_BYTES)
    offsets = start + np.cumsum(list_bytes) - list_bytes
    table = np.stack([sizes, capacities, offsets], axis=1).astype(np.uint64)  # FAISS's layout
    lists = faiss.OnDiskInvertedLists(ivf.nlist, ivf.code_size, os.fspath(path))
    faiss.memcpy(lists.lists.data(), faiss.swig_ptr(table), table.nbytes)
    lists.prefetch_nthread = 0  # Starting 32 threads per search takes as long as the search.
    lists.read_only = True
    lists.totsize = path.stat().st_size
    lists.do_mmap()
    ivf.replace_invlists(lists, True)
    lists.this.disown()  # The index owns the lists.
    _set_row_count(index, int(sizes.sum()))


def load_lists(index: Any) -> None:
    """Read the lists of a fast-scan index into memory, so that FAISS can write them."""
    ivf = fast_scan(index)
    if ivf is None:
        return
    mapped, loaded = ivf.invlists, _empty_lists(ivf)
    for number in range(ivf.nlist):
        rows = mapped.list_size(number)
        if rows:
            loaded.resize(number, rows)
            codes = _pad_to_blocks(rows, ivf) * ivf.code_size
            faiss.memcpy(loaded.get_codes(number), mapped.get_codes(number), codes)
            faiss.memcpy(loaded.get_ids(number), mapped.get_ids(number), rows * ID_BYTES)
    ivf.replace_invlists(loaded, True)
    loaded.this.disown()


@contextmanager
def _without_rows(index: Any, ivf: Any) -> Iterator[None]:
    """Detach the lists of an index temporarily."""
    rows, lists = ivf.ntotal, ivf.invlists
    ivf.own_invlists = False
    empty = _empty_lists(ivf)
    try:
        ivf.replace_invlists(empty, False)
        _set_row_count(index, 0)
        yield
    finally:
        ivf.replace_invlists(lists, False)
        ivf.own_invlists = True
        _set_row_count(index, rows)


def _empty_lists(ivf: Any) -> Any:
    block_bytes = ivf.bbs * ivf.code_size
    return faiss.BlockInvertedLists(ivf.nlist, ivf.bbs, block_bytes)


def _write_lists(ivf: Any, file: IO[bytes]) -> None:
    lists = ivf.invlists
    sizes = np.array([lists.list_size(number) for number in range(ivf.nlist)], np.int64)
    capacities = _pad_to_blocks(sizes, ivf)
    for number in np.flatnonzero(sizes).tolist():
        codes = int(capacities[number] * ivf.code_size)
        file.write(faiss.rev_swig_ptr(lists.get_codes(number), codes).data)
        ids = np.full(capacities[number], -1, np.int64)
        ids[: sizes[number]] = faiss.rev_swig_ptr(lists.get_ids(number), int(sizes[number]))
        file.write(ids.data)
    file.write(sizes.data)


def _read_sizes(path: Path, ivf: Any) -> tuple[NDArray[np.int64], int]:
    """Return the list sizes and the offset of the first list."""
    row_bytes = ivf.code_size + ID_BYTES
    file_bytes, size_bytes = path.stat().st_size, ivf.nlist * np.dtype(np.int64).itemsize
    if file_bytes < size_bytes:
        raise OSError(errno.EIO, "its lists are missing")
    sizes = np.fromfile(path, np.int64, ivf.nlist, offset=file_bytes - size_bytes)
    if ((sizes < 0) | (sizes > file_bytes // row_bytes)).any():
        raise OSError(errno.EIO, "its lists are longer than the file")
    start = file_bytes - size_bytes - int(_pad_to_blocks(sizes, ivf).sum()) * row_bytes
    if start <= 0 or start % PAGE:
        raise OSError(errno.EIO, "its lists begin at a wrong position")
    return sizes, start


def _pad_to_blocks(sizes: Any, ivf: Any) -> Any:
    """Round one list size, or an array of them, up to whole blocks."""
    return -(-sizes // ivf.bbs) * ivf.bbs


def _set_row_count(index: Any, rows: int) -> None:
    """Set the number of rows of an index and of the transforms around it."""
    outer = faiss.downcast_index(index)
    while isinstance(outer, faiss.IndexPreTransform):
        outer.ntotal = rows
        outer = faiss.downcast_index(outer.index)
    outer.ntotal = rows
