"""FAISS indexes on disk: written, synced, opened again and compared; opened memory-mapped."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from indexes.errors import DimensionMismatchError, IndexFileError

PROBES = 16
"""Rows compared after writing: FAISS does not report a full disk for small files."""

MAX_VECTOR_BYTES = 1 << 40
"""What a damaged header may make FAISS allocate at most."""


def write_index(index: Any, path: Path) -> None:
    """Write an index, sync it, and make sure that what lies on disk answers the same.

    Raises:
        IndexFileError: The disk is full or refuses; the partial file is removed.
    """
    try:
        faiss.write_index(index, os.fspath(path))
        with path.open("rb") as file:
            os.fsync(file.fileno())
        _compare(index, path)
    except (RuntimeError, OSError) as error:
        path.unlink(missing_ok=True)
        raise IndexFileError(f"{path}: {_why(error, path)}") from error


def _compare(index: Any, path: Path) -> None:
    try:
        again = faiss.read_index(os.fspath(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        # FAISS closes a small file onto a full disk without a word; the bytes are not there.
        raise OSError(errno.ENOSPC, "cut short") from error
    if (again.ntotal, again.d) != (index.ntotal, index.d):
        raise OSError(errno.EIO, f"holds {again.ntotal} rows after writing {index.ntotal}")
    if not index.ntotal or not _reconstructs(index):
        return
    rows = np.unique(np.linspace(0, index.ntotal - 1, PROBES).astype(np.int64))
    if not np.array_equal(index.reconstruct_batch(rows), again.reconstruct_batch(rows)):
        raise OSError(errno.EIO, "reads back other vectors than were written")


def _reconstructs(index: Any) -> bool:
    """Only flat codes can be read back by row without building further maps."""
    return isinstance(faiss.downcast_index(index), faiss.IndexFlatCodes)


def open_index(path: Path, *, dim: int | None = None, rows: int | None = None) -> Any:
    """Open an index memory-mapped: vectors are read when they are searched.

    Args:
        path: File made by `write_index`.
        dim: Vector length it must have.
        rows: Rows it must hold.

    Raises:
        IndexFileError: Missing, not a FAISS index, damaged, or of another number of rows.
        DimensionMismatchError: Of another vector length.
    """
    if not path.is_file():
        raise IndexFileError(f"{path} is missing; build it again with: retrieval index")
    faiss.set_deserialization_vector_byte_limit(MAX_VECTOR_BYTES)
    try:
        index = faiss.read_index(os.fspath(path), faiss.IO_FLAG_MMAP_IFC)
    except (RuntimeError, MemoryError) as error:
        raise IndexFileError(
            f"{path} is damaged ({_why(error, path)}); build it again with: retrieval index"
        ) from error
    if dim is not None and index.d != dim:
        raise DimensionMismatchError(
            f"{path} holds {index.d}-d vectors, the space has {dim}; rebuild the index"
        )
    if rows is not None and index.ntotal != rows:
        raise IndexFileError(f"{path} holds {index.ntotal} rows, its card says {rows}; rebuild it")
    return index


def _why(error: BaseException, path: Path) -> str:
    if isinstance(error, OSError) and error.strerror:
        if error.errno in (errno.ENOSPC, errno.EFBIG):
            return "no space left"
        return error.strerror
    text = " ".join(str(error).split())
    if "No space left" in text or "File too large" in text or "write error" in text:
        return "no space left"
    return (text.rpartition("Error: ")[2] or text).replace(os.fspath(path), path.name)
