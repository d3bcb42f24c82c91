"""What the disk refuses, as errors that name the path."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retrieval.errors import RetrievalError, StorageError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What the system answers where a disk, a quota or a limit of file sizes is exhausted."""


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the system's refusals into StorageError with the path."""
    try:
        yield
    except RetrievalError:
        raise
    except OSError as error:
        if error.errno in FULL:
            raise StorageError(f"no space left to write {path}; free some and run again") from error
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
