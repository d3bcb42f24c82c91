"""Adds to an error message the command that resolves the error; the library knows no commands."""

from __future__ import annotations

from retrieval.errors import (
    CollectionNotFoundError,
    IndexFileError,
    IndexMissingError,
    OtherModelError,
    OutputExistsError,
    RetrievalError,
    UnknownModelError,
    WeightsNotAvailableError,
)

HINTS: dict[type[RetrievalError], str] = {
    CollectionNotFoundError: "`retrieval embed SOURCE -c COLLECTION` creates one",
    IndexFileError: "`retrieval index COLLECTION` builds the index again",
    IndexMissingError: "`retrieval index COLLECTION` builds it",
    OutputExistsError: "--force replaces it",
    OtherModelError: "`retrieval folders remove FOLDER` deletes it",
    UnknownModelError: "`retrieval models list` prints the names",
}

MAX_MESSAGE_LENGTH = 2_000
"""Longer messages, for example quoted files, lose their middle."""


def one_line(error: RetrievalError) -> str:
    """Return the message of an error as one line, with the command that resolves it."""
    message = " ".join(str(error).split("\n"))
    if len(message) > MAX_MESSAGE_LENGTH:
        message = f"{message[: MAX_MESSAGE_LENGTH - 500]} … {message[-500:]}"
    if isinstance(error, WeightsNotAvailableError) and error.fetchable is not None:
        return f"{message}: `retrieval models fetch {error.fetchable}`"
    hint = HINTS.get(type(error))
    return message if hint is None else f"{message}; {hint}"
