"""Errors that a route answers with a status and one line."""

from __future__ import annotations

from retrieval.errors import (
    CollectionError,
    IndexFileError,
    MediaError,
    MediaTooLargeError,
    MissingExtraError,
    ModelError,
    QueryError,
    RetrievalError,
    StorageError,
)

BUSY_HEADERS = {"retry-after": "1"}


class HttpError(RetrievalError):
    """An error with its HTTP status and further headers."""

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers or {}


def busy(what: str) -> HttpError:
    """Return the error of a full queue."""
    return HttpError(503, f"{what}; try again", BUSY_HEADERS)


_STATUSES: tuple[tuple[type[RetrievalError], int], ...] = (
    (QueryError, 422),
    (MediaTooLargeError, 413),
    (MediaError, 422),
    (StorageError, 503),
    (CollectionError, 503),
    (IndexFileError, 503),
    (ModelError, 503),
    (MissingExtraError, 503),
)


def as_http_error(error: Exception) -> HttpError:
    """Convert an error of the library to a status and a message without paths.

    The messages of queries and media name no path of the server. Those of collections, storage and
    models do, and stay in the log.
    """
    if isinstance(error, HttpError):
        return error
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            if status == 503:
                return HttpError(503, "the collection cannot be read; see the server's log")
            return HttpError(status, " ".join(str(error).split()))
    if isinstance(error, OSError):
        return HttpError(503, "a file of the collection cannot be read; see the server's log")
    return HttpError(500, "internal error; see the server's log")
