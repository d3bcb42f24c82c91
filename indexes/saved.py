"""Reads and writes FAISS index files: synced and verified when written, memory-mapped when read."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from indexes.building import faiss_reason
from indexes.errors import DimensionMismatchError, IndexFileError
from indexes.forking import ForkSafeLock
from indexes.mapped_lists import load_lists, map_lists, write_with_lists

VERIFIED_ROWS = 16
"""Rows read back and compared after writing."""

NO_TABLES = faiss.IO_FLAG_SKIP_PRECOMPUTE_TABLE
"""FAISS's precomputed IVF-PQ tables are for distances, not inner products, and would exceed the
size limit below."""

TABLE_SHARE = 64
"""FAISS checks the size of that table for fast-scan indexes although it does not create it: at
most this multiple of the centroids, which are in the file."""

_limits = ForkSafeLock()
"""Guards FAISS's deserialization limits, which are global."""


def write_index(index: Any, path: Path, *, plain: bool = False) -> None:
    """Write an index, sync it, and verify it by reading it back.

    Args:
        index: In memory or mapped.
        path: The file to write.
        plain: Write a file that FAISS alone can read, see `indexes.mapped_lists`.

    Raises:
        IndexFileError: The file cannot be written, for example because the disk is full. The
            partial file is removed.
    """
    try:
        # FAISS's own writer does not report a full disk for small files.
        with path.open("wb") as file:
            if plain:
                load_lists(index)
                faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))
            else:
                write_with_lists(index, file)
            file.flush()
            os.fsync(file.fileno())
        _verify(index, path)
    except (RuntimeError, OSError) as error:
        path.unlink(missing_ok=True)
        raise IndexFileError(f"{path} cannot be written: {_reason(error)}") from error


def _verify(index: Any, path: Path) -> None:
    saved = _read_mapped(path)
    if (saved.ntotal, saved.d) != (index.ntotal, index.d):
        raise OSError(errno.EIO, f"it holds {saved.ntotal} rows after writing {index.ntotal}")
    # Only flat codes can be read by row without building further maps.
    if not index.ntotal or not isinstance(faiss.downcast_index(index), faiss.IndexFlatCodes):
        return
    rows = np.unique(np.linspace(0, index.ntotal - 1, VERIFIED_ROWS).astype(np.int64))
    if not np.array_equal(index.reconstruct_batch(rows), saved.reconstruct_batch(rows)):
        raise OSError(errno.EIO, "it reads back other vectors than were written")


def open_index(path: Path, *, dim: int | None = None, rows: int | None = None) -> Any:
    """Open an index memory-mapped.

    Args:
        path: File written by `write_index`.
        dim: Expected vector dimension.
        rows: Expected number of rows.

    Raises:
        IndexFileError: The file is missing, damaged, not an inner-product index of FAISS, or has
            another number of rows.
        DimensionMismatchError: The vectors have another dimension.
    """
    if not path.is_file():
        raise IndexFileError(f"{path} is missing; build the index again")
    try:
        index = _read_mapped(path)
    except (RuntimeError, MemoryError, OSError) as error:
        raise IndexFileError(
            f"{path} is damaged ({_reason(error)}); build the index again"
        ) from error
    if index.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise IndexFileError(
            f"{path} has FAISS metric {index.metric_type}, expected inner products "
            f"({faiss.METRIC_INNER_PRODUCT}); build the index again"
        )
    if dim is not None and index.d != dim:
        raise DimensionMismatchError(
            f"{path} holds {index.d}-d vectors, the space has {dim}; build the index again"
        )
    if rows is not None and index.ntotal != rows:
        raise IndexFileError(
            f"{path} holds {index.ntotal} rows, its card says {rows}; build the index again"
        )
    return index


def read_trained(path: Path) -> Any:
    """Read an index into memory to refill it; fast-scan indexes are read without rows.

    Raises:
        IndexFileError: As `open_index`.
    """
    open_index(path)
    return _read(path, 0)


def _read_mapped(path: Path) -> Any:
    index = _read(path, faiss.IO_FLAG_MMAP_IFC)
    map_lists(index, path)
    return index


def _read(path: Path, flags: int) -> Any:
    # A damaged header may contain any count, but never more bytes or entries than the file.
    size = path.stat().st_size + 1
    try:
        return _read_limited(size, path, flags)
    except RuntimeError as error:
        if "precomputed_table" not in str(error):
            raise
        return _read_limited(TABLE_SHARE * size, path, flags)


def _read_limited(limit: int, path: Path, flags: int) -> Any:
    with _limits:
        byte_limit = faiss.get_deserialization_vector_byte_limit()
        loop_limit = faiss.get_deserialization_loop_limit()
        try:
            faiss.set_deserialization_vector_byte_limit(limit)
            faiss.set_deserialization_loop_limit(limit)
            return faiss.read_index(os.fspath(path), flags | NO_TABLES)
        finally:
            faiss.set_deserialization_vector_byte_limit(byte_limit)
            faiss.set_deserialization_loop_limit(loop_limit)


def _reason(error: RuntimeError | MemoryError | OSError) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG):
        return "no space left"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return faiss_reason(error)
