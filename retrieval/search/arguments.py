"""Arguments of a search, checked: what is clearly meant passes, anything else is explained."""

from __future__ import annotations

import math
import operator
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retrieval.errors import QueryError, short_repr
from retrieval.search.query import Askable, Query
from retrieval.search.vector_query import VectorQuery
from retrieval.targets import Target

_IDS = re.compile(r"[\s,;]+")


def query_of(
    query: Askable | VectorQuery | None,
    like: int | None,
    vector: ArrayLike | None,
    space: str | None,
) -> Askable | VectorQuery:
    """The one of several ways to ask that is used.

    Raises:
        QueryError: None or several are, or the vector cannot be searched for.
    """
    if sum(given is not None for given in (query, like, vector)) != 1:
        raise QueryError("give one of a query, the id of an item to search like, and a vector")
    if vector is not None:
        return VectorQuery.of(vector, space)
    if space is not None:
        raise QueryError("a space is named for a vector only; texts and files ask every space")
    if like is not None:
        return Query.like(like)
    assert query is not None
    return query


def targets_of(to: str | Target | Iterable[str | Target] | None) -> list[Target]:
    """Targets by name: one or several; none stands for all but moments.

    Raises:
        QueryError: Something else than a target.
    """
    offered = ", ".join(Target)
    if to is None:
        return []
    named = [to] if isinstance(to, str) else to
    if not isinstance(named, Iterable):
        raise QueryError(f"`to` names targets, of {offered}; got {type(to).__name__}")
    found = []
    for one in named:
        if not isinstance(one, str) or one not in list(Target):
            raise QueryError(f"no target {short_repr(one)}; there is: {offered}")
        found.append(Target(one))
    return found


def names_of(names: str | Iterable[str] | None) -> list[str] | None:
    """One name or several; None stays None."""
    return [names] if isinstance(names, str) else None if names is None else list(names)


def check_counts(k: int, offset: int, rerank_top: int, min_score: float | None) -> None:
    """Refuse what is no count, or no score.

    Raises:
        QueryError: Names the argument.
    """
    for name, value, least in (("k", k, 1), ("offset", offset, 0), ("rerank_top", rerank_top, 1)):
        try:
            number = operator.index(value)
        except TypeError:
            raise QueryError(f"{name} must be a whole number, got {short_repr(value)}") from None
        if number < least:
            raise QueryError(f"{name} must be at least {least}, got {number}")
    if min_score is not None and not (
        isinstance(min_score, int | float | np.number) and math.isfinite(min_score)
    ):
        raise QueryError(f"min_score must be a finite number, got {short_repr(min_score)}")


def item_ids_of(ids: int | Sequence[int] | NDArray[np.integer]) -> NDArray[np.int64]:
    """Ids of items as an array (n,).

    Raises:
        QueryError: They are no whole numbers.
    """
    try:
        array = np.atleast_1d(np.asarray(ids if np.ndim(ids) else [ids]))
    except ValueError:
        array = np.empty((1, 0))
    if array.ndim == 1 and not len(array):
        return np.empty(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu" or array.max() > np.iinfo(np.int64).max:
        raise QueryError("ids are whole numbers, as hits show them in item_id")
    return array.astype(np.int64)


def read_ids(path: str | os.PathLike[str]) -> NDArray[np.int64]:
    """Read ids of items from a text file, separated by spaces, commas or newlines.

    Raises:
        QueryError: The file cannot be read, or holds something else.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise QueryError(f"{os.fspath(path)}: ids cannot be read ({reason})") from error
    ids = []
    for number, line in enumerate(text.split("\n"), 1):
        for word in filter(None, _IDS.split(line)):
            if re.fullmatch(r"\d{1,18}", word, re.ASCII) is None:
                raise QueryError(
                    f"{os.fspath(path)}, line {number}: {word[:40]!r} is no id of an item; "
                    "expected whole numbers"
                )
            ids.append(int(word))
    return np.array(ids, np.int64)
