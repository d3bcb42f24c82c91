"""Converts and checks the arguments of a search."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retrieval.errors import QueryError, short_repr
from retrieval.files.reading import read_text
from retrieval.search.query import Query, QueryLike
from retrieval.search.vector_query import VectorQuery
from retrieval.targets import Target, TextMode

_SEPARATORS = re.compile(r"[\s,;]+")


def query_of(
    query: QueryLike | VectorQuery | None,
    like: int | None,
    vector: ArrayLike | None,
    space: str | None,
) -> QueryLike | VectorQuery:
    """Return the one query that is given as a query, an item id or a vector.

    Raises:
        QueryError: None or several are given, or the vector is invalid.
    """
    if sum(argument is not None for argument in (query, like, vector)) != 1:
        raise QueryError("give one of a query, the id of an item to search like, and a vector")
    if vector is not None:
        return VectorQuery.of(vector, space)
    if space is not None:
        raise QueryError("`space` is for vectors only; texts and files are searched in every space")
    if like is not None:
        return Query.like(like)
    assert query is not None
    return query


def targets_of(to: str | Target | Iterable[str | Target] | None) -> list[Target]:
    """Convert one or several names to targets; an empty list means all but moments.

    Raises:
        QueryError: A value is not a target.
    """
    known = ", ".join(Target)
    if to is None:
        return []
    names = [to] if isinstance(to, str) else to
    if not isinstance(names, Iterable):
        raise QueryError(f"`to` must be one or several of {known}; got {type(to).__name__}")
    targets = []
    for name in names:
        if not isinstance(name, str) or name not in list(Target):
            raise QueryError(f"unknown target {short_repr(name)}; known: {known}")
        targets.append(Target(name))
    return targets


def text_mode_of(text: str | TextMode) -> TextMode:
    """Convert the name of a text mode.

    Raises:
        QueryError: The value is not a text mode.
    """
    if not isinstance(text, str) or text not in list(TextMode):
        raise QueryError(f"`text` must be one of {', '.join(TextMode)}; got {short_repr(text)}")
    return TextMode(text)


def names_of(names: str | Iterable[str] | None) -> list[str] | None:
    """Convert one or several names to a list; None stays None."""
    return [names] if isinstance(names, str) else None if names is None else list(names)


def item_ids_of(ids: int | Sequence[int] | NDArray[np.integer]) -> NDArray[np.int64]:
    """Convert item ids to an array (n,).

    Raises:
        QueryError: An id is not a 64-bit integer.
    """
    try:
        array = np.atleast_1d(np.asarray(ids if np.ndim(ids) else [ids]))
    except ValueError:
        array = np.empty((1, 0))
    if array.ndim == 1 and not len(array):
        return np.empty(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu" or array.max() > np.iinfo(np.int64).max:
        raise QueryError("ids must be whole numbers, such as the item_id of a hit")
    return array.astype(np.int64)


def parse_item(text: str) -> tuple[str, int]:
    """Return the collection and the id of `NAME:ID`, an item of several collections.

    Raises:
        QueryError: The text has another form.
    """
    name, _, digits = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    if not name or re.fullmatch(r"\d{1,18}", digits, re.ASCII) is None:
        raise QueryError(
            f"an item of several collections is NAME:ID, such as holidays:7; got {short_repr(text)}"
        )
    return name, int(digits)


def read_ids(path: str | os.PathLike[str]) -> NDArray[np.int64]:
    """Read item ids from a text file, separated by spaces, commas or newlines.

    Raises:
        QueryError: The file cannot be read, or contains something else.
    """
    try:
        text = read_text(path, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise QueryError(f"{os.fspath(path)}: cannot read ids ({reason})") from error
    ids = []
    for number, line in enumerate(text.split("\n"), 1):
        for word in filter(None, _SEPARATORS.split(line)):
            if re.fullmatch(r"\d{1,18}", word, re.ASCII) is None:
                raise QueryError(
                    f"{os.fspath(path)}, line {number}: {word[:40]!r} is not an item id; "
                    "expected whole numbers"
                )
            ids.append(int(word))
    return np.array(ids, np.int64)
