"""The lists of fast scans, mapped from their file: FAISS would read all of them into memory.

FAISS maps the lists of other inverted files, and has lists on disk (`OnDiskInvertedLists`) for
those, but knows no file of mapped fast scans. Its search asks any kind of lists for packed blocks
of codes, though: so an index is written without rows, its lists behind it in the same file,

    index without rows | to a multiple of PAGE | of each list: blocks of codes, ids | sizes of lists

and lists on disk are put under it when it is opened. The last block and the ids of a list are
filled up to whole blocks, of 32 codes as a rule; a size is an int64.
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

from indexes.gpus import innermost

ID_BYTES: Final = 8
PAGE: Final = 4096


def fast_scan(index: Any) -> Any | None:
    """The inverted file of fast scans by product quantizer behind any transforms; else None."""
    found = innermost(index)
    mapped = hasattr(faiss, "OnDiskInvertedLists")  # not on Windows
    return found if mapped and isinstance(found, faiss.IndexIVFPQFastScan) else None


def write_with_lists(index: Any, file: IO[bytes]) -> None:
    """Write any index; fast scans with their lists behind it."""
    writer = faiss.PyCallbackIOWriter(file.write)
    inverted = fast_scan(index)
    if inverted is None:
        faiss.write_index(index, writer)
        return
    with _without_rows(index, inverted):
        faiss.write_index(index, writer)
    file.write(bytes(-file.tell() % PAGE))
    _write_lists(inverted, file)


def map_lists(index: Any, path: Path) -> None:
    """Put the lists of a file under an index, if that was written without them.

    Raises:
        OSError: The file holds something else.
    """
    inverted = None if index.ntotal else fast_scan(index)
    if inverted is None:
        return
    sizes, start = _layout(path, inverted)
    room = _filled_up(sizes, inverted)
    bytes_of = room * (inverted.code_size + ID_BYTES)
    places = start + np.cumsum(bytes_of) - bytes_of
    table = np.stack([sizes, room, places], axis=1).astype(np.uint64)  # as FAISS declares them
    lists = faiss.OnDiskInvertedLists(inverted.nlist, inverted.code_size, os.fspath(path))
    faiss.memcpy(lists.lists.data(), faiss.swig_ptr(table), table.nbytes)
    lists.prefetch_nthread = 0  # 32 threads for every search take as long as the search
    lists.read_only = True
    lists.totsize = path.stat().st_size
    lists.do_mmap()
    inverted.replace_invlists(lists, True)
    lists.this.disown()  # the index deletes them
    _count(index, int(sizes.sum()))


def load_lists(index: Any) -> None:
    """Bring the lists of fast scans into memory, so that FAISS writes them with their index."""
    inverted = fast_scan(index)
    if inverted is None:
        return
    mapped, loaded = inverted.invlists, _no_lists(inverted)
    for number in range(inverted.nlist):
        rows = mapped.list_size(number)
        if rows:
            loaded.resize(number, rows)
            codes = _filled_up(rows, inverted) * inverted.code_size
            faiss.memcpy(loaded.get_codes(number), mapped.get_codes(number), codes)
            faiss.memcpy(loaded.get_ids(number), mapped.get_ids(number), rows * ID_BYTES)
    inverted.replace_invlists(loaded, True)
    loaded.this.disown()


@contextmanager
def _without_rows(index: Any, inverted: Any) -> Iterator[None]:
    """Take the lists out of an index for a while."""
    rows, lists = inverted.ntotal, inverted.invlists
    inverted.own_invlists = False
    empty = _no_lists(inverted)
    try:
        inverted.replace_invlists(empty, False)
        _count(index, 0)
        yield
    finally:
        inverted.replace_invlists(lists, False)
        inverted.own_invlists = True
        _count(index, rows)


def _no_lists(inverted: Any) -> Any:
    block_bytes = inverted.bbs * inverted.code_size
    return faiss.BlockInvertedLists(inverted.nlist, inverted.bbs, block_bytes)


def _write_lists(inverted: Any, file: IO[bytes]) -> None:
    lists = inverted.invlists
    sizes = np.array([lists.list_size(number) for number in range(inverted.nlist)], np.int64)
    room = _filled_up(sizes, inverted)
    for number in np.flatnonzero(sizes).tolist():
        codes = int(room[number] * inverted.code_size)
        file.write(faiss.rev_swig_ptr(lists.get_codes(number), codes).data)
        ids = np.full(room[number], -1, np.int64)
        ids[: sizes[number]] = faiss.rev_swig_ptr(lists.get_ids(number), int(sizes[number]))
        file.write(ids.data)
    file.write(sizes.data)


def _layout(path: Path, inverted: Any) -> tuple[NDArray[np.int64], int]:
    """Sizes of the lists, and where the first one begins."""
    row_bytes = inverted.code_size + ID_BYTES
    whole, tail = path.stat().st_size, inverted.nlist * np.dtype(np.int64).itemsize
    if whole < tail:
        raise OSError(errno.EIO, "its lists are missing")
    sizes = np.fromfile(path, np.int64, inverted.nlist, offset=whole - tail)
    if ((sizes < 0) | (sizes > whole // row_bytes)).any():
        raise OSError(errno.EIO, "its lists are longer than the file")
    start = whole - tail - int(_filled_up(sizes, inverted).sum()) * row_bytes
    if start <= 0 or start % PAGE:
        raise OSError(errno.EIO, "its lists are not where they should be")
    return sizes, start


def _filled_up(sizes: Any, inverted: Any) -> Any:
    """Rows of whole blocks, of one list or of an array of them."""
    return -(-sizes // inverted.bbs) * inverted.bbs


def _count(index: Any, rows: int) -> None:
    """Set the number of rows, of transforms around an index too."""
    outer = faiss.downcast_index(index)
    while isinstance(outer, faiss.IndexPreTransform):
        outer.ntotal = rows
        outer = faiss.downcast_index(outer.index)
    outer.ntotal = rows
