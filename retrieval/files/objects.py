"""Files on object stores, such as `s3://bucket/key`, through fsspec.

A file is read in ranges into a temporary file without a name, because its digest and its decoders
read all of it, and some of it twice.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from retrieval.errors import MissingExtraError

RANGE_BYTES = 8 << 20
"""Bytes of one request."""

MAX_OBJECT_BYTES = 64 << 30
"""Larger objects are refused, before the temporary file fills the disk."""

SCHEMES = frozenset(
    {"s3", "s3a", "gs", "gcs", "hdfs", "webhdfs", "abfs", "abfss", "az", "adl", "oci"}
)
"""Schemes of object stores. Other addresses, such as those of the web, are not opened."""

_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")

_PACKAGES = {"s3": "s3fs; install retrieval[s3]", "gs": "gcsfs; install it with pip",
             "gcs": "gcsfs; install it with pip", "hdfs": "libhdfs; install Hadoop"}  # fmt: skip


def is_object(path: str | os.PathLike[str]) -> bool:
    """Whether a path is an address on an object store, not a name of the local disk."""
    match = _ADDRESS.match(os.fspath(path)) if isinstance(path, str) else None
    return match is not None and match["scheme"] in SCHEMES


def file_system(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path in it.

    Raises:
        MissingExtraError: The library of the scheme is not installed.
        OSError: fsspec does not know the scheme, or the store refuses.
    """
    scheme = address.partition("://")[0]
    try:
        import fsspec

        with _store_errors(address):
            return fsspec.core.url_to_fs(address)  # type: ignore[no-any-return]
    except ImportError as error:
        needed = _PACKAGES.get(scheme, "a further package of fsspec")
        raise MissingExtraError(f"{scheme}:// needs {needed}") from error


def object_status(address: str) -> os.stat_result:
    """Return size and modification time of an object as those of a file without an inode.

    Raises:
        FileNotFoundError: There is no such object.
        OSError: The store refuses or does not answer.
    """
    system, path = file_system(address)
    with _store_errors(address):
        return _status_of(system.info(path))


def open_object(address: str) -> io.BufferedReader:
    """Copy an object into a temporary file and open it; closing it deletes the file.

    Raises:
        FileNotFoundError: There is no such object.
        OSError: The store refuses, the object is too large, or the disk is full.
    """
    system, path = file_system(address)
    with tempfile.TemporaryFile() as copy:
        with _store_errors(address):
            status = _status_of(system.info(path))
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EISDIR, "is a folder, expected a file", address)
            if status.st_size > MAX_OBJECT_BYTES:
                raise OSError(errno.EFBIG, f"is larger than {MAX_OBJECT_BYTES >> 30} GiB", address)
            with system.open(path, "rb", block_size=RANGE_BYTES, cache_type="none") as source:
                while data := source.read(RANGE_BYTES):
                    copy.write(data)
        copy.flush()
        os.utime(copy.fileno(), (status.st_mtime, status.st_mtime))
        copy.seek(0)
        return open(os.dup(copy.fileno()), "rb")


def list_objects(address: str) -> Iterator[str]:
    """Yield the addresses of the objects below an address, or that a pattern matches, sorted.

    Raises:
        OSError: The store refuses or does not answer.
    """
    system, path = file_system(address)
    with _store_errors(address):
        system.invalidate_cache()
        if any(character in path for character in "*?["):
            found = system.glob(path, detail=True)
        else:
            found = system.find(path, detail=True)
        names = [name for name, info in found.items() if info["type"] == "file"]
    for name in sorted(names):
        yield system.unstrip_protocol(name)


def _status_of(info: Mapping[str, Any]) -> os.stat_result:
    mode = stat.S_IFDIR if info["type"] == "directory" else stat.S_IFREG
    seconds = 0.0
    for name in ("LastModified", "mtime", "updated", "modified", "created"):
        value = info.get(name)
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            seconds = value.timestamp()
            break
        if isinstance(value, (int, float)):
            seconds = float(value)
            break
    size = int(info.get("size") or 0)
    return os.stat_result((mode | 0o444, 0, 0, 1, 0, 0, size, seconds, seconds, seconds))


@contextmanager
def _store_errors(address: str) -> Iterator[None]:
    """Convert errors of stores to `OSError`; libraries raise many types."""
    try:
        yield
    except (OSError, ImportError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise OSError(errno.EIO, reason, address) from error
