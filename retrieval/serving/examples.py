"""Chooses example queries that have good answers in a collection."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import numpy as np

from retrieval.errors import RetrievalError
from retrieval.search.options import SearchOptions
from retrieval.search.query import Query
from retrieval.serving.generations import Generation
from retrieval.types import Hit

logger = logging.getLogger(__name__)

EXAMPLES = 3
SAMPLED_ITEMS = 40
MAX_WORDS = 12

COMMON = (
    "a person", "a group of people", "a child", "a face", "a dog", "a cat", "a bird", "a flower",
    "a tree", "a forest", "a mountain", "a beach", "the sea", "a sunset", "snow", "a city street",
    "a building", "a house", "a car", "a train", "a boat", "food on a plate", "a cup of coffee",
    "a book", "text on a sign", "a computer screen", "a drawing", "a map", "a wedding", "a concert",
    "someone dancing", "someone playing football", "people talking", "a crowd", "a night scene",
    "piano music", "a guitar", "drums", "a singing voice", "speech", "rain", "birdsong",
    "electronic music", "an orchestra", "applause", "silence",
)  # fmt: skip
"""Queries for collections without captions."""


def example_queries(generation: Generation) -> list[str]:
    """Return up to three texts whose best hits are right, and different from each other.

    A hit is right if it is likely, or if the text is its own caption.
    """
    found: dict[int, str] = {}
    captions = sorted(_captions(generation), key=lambda pair: len(pair[1].split()))
    common = [(None, text) for text in COMMON]
    for item_id, text in (*captions, *common):
        hit = _best(generation, text)
        if hit is None or hit.item_id in found or not (hit.likely or hit.item_id == item_id):
            continue
        found[hit.item_id] = text
        if len(found) == EXAMPLES:
            break
    return list(found.values())


def _best(generation: Generation, text: str) -> Hit | None:
    try:
        hits = generation.searcher.search(Query.of_text(text), SearchOptions(k=1)).hits
    except (RetrievalError, OSError) as error:
        logger.debug("%r is no example: %s", text, error)
        return None
    return hits[0] if hits else None


def _captions(generation: Generation) -> Iterator[tuple[int, str]]:
    """Yield items that are spread over the collection, with their short captions."""
    ids = generation.snapshot.item_ids()
    if not len(ids):
        return
    positions = np.linspace(0, len(ids) - 1, min(len(ids), SAMPLED_ITEMS)).astype(int)
    sample = ids[positions].tolist()
    for item_id, (_, _, metadata) in zip(sample, generation.items.rows(sample), strict=True):
        first = re.split(r"[.;!?\n]", str(metadata.get("caption") or ""), maxsplit=1)[0].strip()
        if first and len(first.split()) <= MAX_WORDS:
            yield item_id, first
