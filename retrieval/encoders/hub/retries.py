"""Requests to the hub: retries, and one message for each cause of failure."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

from retrieval.errors import RetrievalError, StorageError, WeightsNotAvailableError

ATTEMPTS = 3
"""Attempts per request while the hub's servers fail."""

MAX_WAIT_SECONDS = 120.0
"""Longer waits for a rate limit are reported instead."""

_Result = TypeVar("_Result")


def with_retries(
    repo: str,
    call: Callable[[], _Result],
    *,
    received_bytes: Callable[[], int] | None = None,
) -> _Result:
    """Run a request; wait once for a rate limit, and retry while the hub's servers fail.

    Args:
        repo: Repository of the request.
        call: The request.
        received_bytes: For downloads that resume: the bytes received so far. Lost connections are
            retried too, and the attempts start over while more bytes arrive.

    Raises:
        WeightsNotAvailableError: The hub refuses, fails or cannot be reached; the message names
            the cause.
        StorageError: The cache cannot be written.
    """
    attempt, received = 1, received_bytes() if received_bytes else 0
    while True:
        try:
            return call()
        except RetrievalError:
            raise
        except Exception as error:  # network errors have other names in each release
            if received_bytes and received_bytes() != received:
                attempt, received = 1, received_bytes()
            wait = _wait_seconds(error, attempt, resumes=received_bytes is not None)
            if wait is None:
                raise request_error(repo, error) from error
            time.sleep(wait)
            attempt += 1


def request_error(repo: str, error: Exception) -> RetrievalError:
    """Convert an error of the network or the disk to a one-line error."""
    from huggingface_hub.errors import (
        GatedRepoError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    status = _status(error)
    on_disk = isinstance(error, OSError) and (error.filename or error.errno == errno.ENOSPC)
    if status is None and on_disk:
        return StorageError(f"cannot write the hub's cache: {error}")
    if isinstance(error, OfflineModeIsEnabled):
        message = "HF_HUB_OFFLINE is set; unset it to fetch"
    elif isinstance(error, GatedRepoError):
        message = (
            f"gated; accept its terms at {_endpoint()}/{repo}, then set HF_TOKEN to a token of "
            "that account"
        )
    elif status == 401 and _has_token():
        message = (
            "the hub refuses the access token; set HF_TOKEN to a valid one, or unset it and delete "
            "the stored token"
        )
    elif isinstance(error, RepositoryNotFoundError):
        message = "the hub has no such model, or it is private; check the name"
    elif isinstance(error, RevisionNotFoundError):
        message = "the hub lacks the commit that this version expects; update retrieval"
    elif status is not None:
        message = _status_message(status, error)
    else:
        message = _connection_message(error)
    return WeightsNotAvailableError(f"{repo}: {message}")


def _status_message(status: int, error: Exception) -> str:
    if status == 429:
        seconds = _retry_after(error)
        when = "later" if seconds is None else f"in {seconds:.0f} s"
        return f"the hub limits the rate of requests; try again {when}"
    if status in (401, 403):
        return f"the hub denies access (status {status}); set HF_TOKEN to a token that may read it"
    if status >= 500:
        return f"the hub's server failed {ATTEMPTS} times (status {status}); try again later"
    return f"the hub responded with status {status}; check HF_ENDPOINT, and try again later"


def _connection_message(error: Exception) -> str:
    """Describe a missing response, or one that is not a hub's."""
    from huggingface_hub.errors import FileMetadataError

    first = (str(error).splitlines() or [""])[0] or type(error).__name__
    if isinstance(error, ValueError | KeyError | TypeError | FileMetadataError):
        return (
            f"{_endpoint()} responds, but not as a model hub; the login page of a network may "
            "respond instead: open a web page first, or check HF_ENDPOINT"
        )
    return (
        f"{_endpoint()} cannot be reached ({first}); try again with a network, or use the model "
        "tiny, which comes with the package"
    )


def _wait_seconds(error: Exception, attempt: int, *, resumes: bool) -> float | None:
    """Return the seconds until the next attempt, or None to give up."""
    status = _status(error)
    if status == 429 and attempt == 1:
        seconds = _retry_after(error) or 1.0
        return seconds if seconds <= MAX_WAIT_SECONDS else None
    fails = status >= 500 if status is not None else resumes and not isinstance(error, OSError)
    return float(attempt) if fails and attempt < ATTEMPTS else None


def _status(error: Exception) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _retry_after(error: Exception) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        return max(0.0, float(headers.get("Retry-After", "")))
    except ValueError:
        return None  # absent, or a date


def _has_token() -> bool:
    from huggingface_hub import get_token

    return get_token() is not None


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)
