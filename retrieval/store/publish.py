"""Writing so that a crash leaves nothing that looks finished.

Every file goes aside first, is synced, read again and renamed; then its folder is synced. All
file operations of the publishing path are here, and every refusal of the disk becomes one
StorageError that names the file.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from retrieval.errors import StorageError

PARTIAL = ".partial"
"""Suffix of files that are being written; whatever carries it is a leftover of a crash."""

ROW_GROUP_ROWS = 8_192


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the disk's refusals into one line that names the path.

    Raises:
        StorageError: Any OSError inside, with the same errno.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
        what = "no space left" if full else error.strerror or str(error)
        raise StorageError(error.errno, f"{path}: {what}") from error


def write_aside(path: Path, write: Callable[[Path], None], check: Callable[[Path], None]) -> None:
    """Make a file appear under its name whole or not at all.

    Args:
        path: Final name; its folder is made when missing.
        write: Writes the content to the path it is given.
        check: Reads it again and raises OSError where it is not what was written.

    Raises:
        StorageError: The disk refuses; the partial file is gone.
    """
    partial = path.with_name(path.name + PARTIAL)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(partial)
            sync(partial)
            check(partial)
            os.replace(partial, path)
            sync(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_parquet(table: pa.Table, path: Path, *, compression: str = "zstd") -> None:
    """Publish a table as one Parquet file; vectors are stored as they are, without dictionary."""
    strings = [field.name for field in table.schema if pa.types.is_string(field.type)]

    def write(partial: Path) -> None:
        pq.write_table(
            table,
            partial,
            row_group_size=ROW_GROUP_ROWS,
            compression=compression,
            use_dictionary=strings,
        )

    def check(partial: Path) -> None:
        found = pq.ParquetFile(partial)
        if found.metadata.num_rows != table.num_rows or found.schema_arrow != table.schema:
            raise OSError(errno.EIO, "reads back other rows than were written")

    write_aside(path, write, check)


def write_text(text: str, path: Path) -> None:
    """Publish a small text file."""
    data = text.encode()

    def check(partial: Path) -> None:
        if partial.read_bytes() != data:
            raise OSError(errno.EIO, "reads back other bytes than were written")

    write_aside(path, lambda partial: _write_bytes(data, partial), check)


def _write_bytes(data: bytes, partial: Path) -> None:
    with partial.open("wb") as file:
        file.write(data)


def sha256_of(path: Path) -> str:
    """Digest of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def next_number(folder: Path, suffix: str) -> int:
    """One more than the highest number that a file or folder of the given suffix carries."""
    if not folder.is_dir():
        return 0
    stems = (entry.name.removesuffix(suffix) for entry in folder.iterdir())
    return max((int(stem) for stem in stems if stem.isdecimal()), default=-1) + 1
