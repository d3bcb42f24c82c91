"""What the hub refuses and why: one message for each cause, and patience where it helps."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from retrieval.errors import RetrievalError, StorageError, WeightsNotAvailableError

ATTEMPTS = 3
"""Tries of one request while the hub's servers fail."""

LONGEST_WAIT_SECONDS = 120.0
"""A rate limit that asks for more is reported at once."""

_Result = TypeVar("_Result")


def patiently(
    repo: str, call: Callable[[], _Result], *, progress: Callable[[], int] | None = None
) -> _Result:
    """Run a request; wait once as a rate limit asks, and try three times while servers fail.

    Args:
        repo: The repository it is about.
        call: The request.
        progress: For downloads, which go on where they stopped: the bytes received so far. Lost
            connections are tried again too, and while more bytes arrive, the tries start over.

    Raises:
        WeightsNotAvailableError: The hub refuses, fails or cannot be reached; the message says
            which.
        StorageError: The cache cannot be written.
    """
    attempt, received = 1, progress() if progress else 0
    while True:
        try:
            return call()
        except RetrievalError:
            raise
        except Exception as error:  # the network's errors have other names in each release
            if progress and progress() != received:
                attempt, received = 1, progress()
            wait = _wait_seconds(error, attempt, resumes=progress is not None)
            if wait is None:
                raise refusal(repo, error) from error
            time.sleep(wait)
            attempt += 1


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn what this disk refuses into a StorageError."""
    try:
        yield
    except OSError as error:
        if isinstance(error, RetrievalError):
            raise
        raise StorageError(f"the hub's cache cannot be written: {error}") from error


def refusal(repo: str, error: Exception) -> RetrievalError:
    """The one-line error for what a request ran into, on the network or on this disk."""
    from huggingface_hub.errors import (
        GatedRepoError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    status = _status(error)
    on_disk = isinstance(error, OSError) and (error.filename or error.errno == errno.ENOSPC)
    if status is None and on_disk:
        return StorageError(f"the hub's cache cannot be written: {error}")
    if isinstance(error, OfflineModeIsEnabled):
        message = "HF_HUB_OFFLINE is set; unset it to fetch"
    elif isinstance(error, GatedRepoError):
        message = (
            f"gated; accept its terms at {_endpoint()}/{repo}, then set HF_TOKEN to a token of "
            "that account"
        )
    elif status == 401 and _has_token():
        message = (
            "the hub refuses the access token; set HF_TOKEN to a valid one, or unset it and log "
            "out with `hf auth logout`"
        )
    elif isinstance(error, RepositoryNotFoundError):
        message = "the hub has no such model, or it is private; check the name"
    elif isinstance(error, RevisionNotFoundError):
        message = "the hub lacks the commit that this version expects; update retrieval"
    elif status is not None:
        message = _of_status(status, error)
    else:
        message = _no_hub(error)
    return WeightsNotAvailableError(f"{repo}: {message}")


def _of_status(status: int, error: Exception) -> str:
    if status == 429:
        seconds = _retry_after(error)
        when = "later" if seconds is None else f"in {seconds:.0f} s"
        return f"the hub limits the rate of requests; try again {when}"
    if status in (401, 403):
        return f"the hub denies access (status {status}); set HF_TOKEN to a token that may read it"
    if status >= 500:
        return f"the hub's server failed {ATTEMPTS} times (status {status}); try again later"
    return f"the hub answered with status {status}; check HF_ENDPOINT, and try again later"


def _no_hub(error: Exception) -> str:
    """No answer at all, or one that no hub gives."""
    from huggingface_hub.errors import FileMetadataError

    first = (str(error).splitlines() or [""])[0] or type(error).__name__
    if isinstance(error, ValueError | KeyError | TypeError | FileMetadataError):
        return (
            f"{_endpoint()} answers, but not as a model hub does; a network that asks for a login "
            "may answer in its place: open a web page first, or check HF_ENDPOINT"
        )
    return (
        f"{_endpoint()} cannot be reached ({first}); try again with a network, or use the model "
        "`tiny`, which comes with the package"
    )


def _wait_seconds(error: Exception, attempt: int, *, resumes: bool) -> float | None:
    """Seconds until another try makes sense; None: it makes none."""
    status = _status(error)
    if status == 429 and attempt == 1:
        seconds = _retry_after(error) or 1.0
        return seconds if seconds <= LONGEST_WAIT_SECONDS else None
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
