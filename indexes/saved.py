"""FAISS indexes on disk: written, synced, opened again and compared; opened memory-mapped."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from indexes.building import faiss_reason
from indexes.errors import DimensionMismatchError, IndexFileError
from indexes.forking import Lock
from indexes.mapped_lists import load_lists, map_lists, write_with_lists

PROBES = 16
"""Rows read back and compared after writing."""

NO_TABLES = faiss.IO_FLAG_SKIP_PRECOMPUTE_TABLE
"""The tables that FAISS computes for IVF-PQ are for distances, not for inner products, and would be
refused as larger than the file."""

TABLE_SHARE = 64
"""Of fast scans FAISS asks for the room of that table all the same, though it makes none: at most
so many times the lists' centroids, which are in the file."""

_limits = Lock()
"""FAISS's limits of what a file may contain belong to the process, not to a call."""


def write_index(index: Any, path: Path, *, plain: bool = False) -> None:
    """Write an index, sync it, and make sure that what lies on disk is what was to be written.

    Args:
        index: In memory or mapped.
        path: Where to.
        plain: As FAISS alone reads it: `indexes.mapped_lists` says what differs.

    Raises:
        IndexFileError: The disk is full or refuses; the partial file is removed.
    """
    try:
        # FAISS's own writer does not notice when a small file meets a full disk.
        with path.open("wb") as file:
            if plain:
                load_lists(index)
                faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))
            else:
                write_with_lists(index, file)
            file.flush()
            os.fsync(file.fileno())
        _compare(index, path)
    except (RuntimeError, OSError) as error:
        path.unlink(missing_ok=True)
        raise IndexFileError(f"{path} cannot be written: {_why(error)}") from error


def _compare(index: Any, path: Path) -> None:
    again = _read_mapped(path)
    if (again.ntotal, again.d) != (index.ntotal, index.d):
        raise OSError(errno.EIO, f"it holds {again.ntotal} rows after writing {index.ntotal}")
    # Only flat codes can be read back by row without building further maps.
    if not index.ntotal or not isinstance(faiss.downcast_index(index), faiss.IndexFlatCodes):
        return
    rows = np.unique(np.linspace(0, index.ntotal - 1, PROBES).astype(np.int64))
    if not np.array_equal(index.reconstruct_batch(rows), again.reconstruct_batch(rows)):
        raise OSError(errno.EIO, "it reads back other vectors than were written")


def open_index(path: Path, *, dim: int | None = None, rows: int | None = None) -> Any:
    """Open an index memory-mapped: vectors are read when they are searched.

    Args:
        path: File made by `write_index`.
        dim: Vector length it must have.
        rows: Rows it must hold.

    Raises:
        IndexFileError: Missing, not a FAISS index, damaged, of another number of rows, or not
            for inner products.
        DimensionMismatchError: Of another vector length.
    """
    if not path.is_file():
        raise IndexFileError(f"{path} is missing; build it again with: retrieval index")
    try:
        index = _read_mapped(path)
    except (RuntimeError, MemoryError, OSError) as error:
        raise IndexFileError(
            f"{path} is damaged ({_why(error)}); build it again with: retrieval index"
        ) from error
    if index.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise IndexFileError(
            f"{path} has FAISS metric {index.metric_type}, expected inner products "
            f"({faiss.METRIC_INNER_PRODUCT}); build it again with: retrieval index"
        )
    if dim is not None and index.d != dim:
        raise DimensionMismatchError(
            f"{path} holds {index.d}-d vectors, the space has {dim}; rebuild the index"
        )
    if rows is not None and index.ntotal != rows:
        raise IndexFileError(f"{path} holds {index.ntotal} rows, its card says {rows}; rebuild it")
    return index


def read_trained(path: Path) -> Any:
    """Read an index into memory, to be filled anew: fast scans come without their rows.

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
    # Whatever a damaged header counts, a file holds no more bytes or entries than its size.
    size = path.stat().st_size + 1
    try:
        return _read_within(size, path, flags)
    except RuntimeError as error:
        if "precomputed_table" not in str(error):
            raise
        return _read_within(TABLE_SHARE * size, path, flags)


def _read_within(limit: int, path: Path, flags: int) -> Any:
    with _limits:
        before = (
            faiss.get_deserialization_vector_byte_limit(),
            faiss.get_deserialization_loop_limit(),
        )
        try:
            faiss.set_deserialization_vector_byte_limit(limit)
            faiss.set_deserialization_loop_limit(limit)
            return faiss.read_index(os.fspath(path), flags | NO_TABLES)
        finally:
            faiss.set_deserialization_vector_byte_limit(before[0])
            faiss.set_deserialization_loop_limit(before[1])


def _why(error: RuntimeError | MemoryError | OSError) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG):
        return "no space left"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return faiss_reason(error)
