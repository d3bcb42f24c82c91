"""The keyword arguments of a search, which all kinds of collections convert alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Collection as AnyOf
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retrieval.search.arguments import names_of, targets_of, text_mode_of
from retrieval.search.options import SearchOptions
from retrieval.search.reranking.reranker import Reranker, load_reranker
from retrieval.targets import Target, TextMode


class SearchKeywords(TypedDict, total=False):
    """Keyword arguments as of `Collection.answer`, without those that name items."""

    to: str | AnyOf[Target | str] | None
    k: int
    offset: int
    where: str | Sequence[str] | None
    cutoff: bool
    min_score: float | None
    spaces: str | Sequence[str] | None
    rerank: str | Reranker | None
    rerank_top: int
    with_vectors: bool
    text: str | TextMode
    vector: ArrayLike | None
    space: str | None


def options_of(
    keywords: SearchKeywords,
    ids: Sequence[int] | NDArray[np.integer] | None = None,
    load: Callable[[str], Reranker] = load_reranker,
) -> SearchOptions:
    """Convert and check the arguments of a search; those that are left out have their defaults.

    Args:
        keywords: The arguments. `vector` and `space` belong to the query and are ignored.
        ids: Search these items only; None: all items.
        load: Returns the re-ranker of a specification.

    Raises:
        QueryError: An argument is invalid.
        TypeError: There is no such argument.
    """
    given: dict[str, Any] = dict(keywords)
    for name in ("vector", "space"):
        given.pop(name, None)
    rerank = given.pop("rerank", None)
    return SearchOptions(
        to=targets_of(given.pop("to", ())),
        spaces=names_of(given.pop("spaces", None)),
        text=text_mode_of(given.pop("text", TextMode.AUTO)),
        reranker=load(rerank) if isinstance(rerank, str) else rerank,
        ids=ids,
        **given,
    )
