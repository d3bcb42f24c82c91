"""Re-rank: a model that reads query and picture together looks at the first answers again.

The first stage compares vectors that were made apart, and so knows what a picture holds better
than how its parts lie; caption-based image retrieval by ViLBERT (1908.02265) scores the caption
with every candidate instead. That is too slow for a corpus and right for its first answers.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import QueryError, RetrievalError, UnknownModelError
from retrieval.media.archives.members import open_member
from retrieval.media.images.fitting import fit
from retrieval.media.images.reading import read_image
from retrieval.media.names import container_of, uri_to_path
from retrieval.search.query import Query
from retrieval.search.vector_query import VectorQuery
from retrieval.types import Hit, ImageGeometry, Medium

logger = logging.getLogger(__name__)

TOP = 20
"""Hits that are looked at again."""

RERANKERS = {
    "tiny": "retrieval.search.reranking.tiny:TinyReranker",
    "blip": "retrieval.search.reranking.blip:BlipReranker",
}
"""The class behind each kind; it has `load(location, *, spec, device)`."""

FORMS = ("tiny", "tiny:FOLDER", "blip:HUB-ID-OR-FOLDER")


class Reranker(Protocol):
    """Says how likely it is that a text describes a picture, reading both together."""

    @property
    def spec(self) -> str:
        """What loads it again, as `blip:Salesforce/blip-itm-base-coco`."""
        ...

    @property
    def geometry(self) -> ImageGeometry:
        """How pictures must arrive."""
        ...

    def probabilities(self, text: str, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Judge pictures.

        Args:
            text: A query; longer ones are cut at the model's context length.
            pixels: (n, height, width, 3) uint8 RGB of `geometry`'s size; n may be 0.

        Returns:
            (n,) float32 in 0 … 1: the probability that the text describes the picture.
        """
        ...


def load_reranker(spec: str, *, device: str = "auto") -> Reranker:
    """Load what `--rerank` names.

    Raises:
        UnknownModelError: No such kind, or no location; only `tiny` comes with the package.
        WeightsNotAvailableError: The weights are not on this machine.
        WeightsFormatError: They are a pickle, damaged, or of another architecture.
    """
    kind, _, location = spec.partition(":")
    if kind not in RERANKERS or not (location or spec == "tiny"):
        raise UnknownModelError(f"no re-ranker {spec!r}; there is: {', '.join(FORMS)}")
    module, _, name = RERANKERS[kind].partition(":")
    loader = getattr(importlib.import_module(module), name).load
    reranker: Reranker = loader(location, spec=spec, device=device)
    return reranker


def text_of(query: Query | VectorQuery) -> str:
    """The text of a query that is nothing but one.

    Raises:
        QueryError: It holds a file, a weight, or several terms, or is a vector.
    """
    if isinstance(query, VectorQuery):
        raise QueryError(f"re-ranking reads one text, got {query}; ask without it")
    term = query.terms[0]
    if len(query.terms) != 1 or term.text is None or term.weight != 1:
        raise QueryError(f"--rerank reads one text, got {query}; ask without --rerank")
    return term.text


def rerank(hits: Sequence[Hit], text: str, reranker: Reranker, *, top: int = TOP) -> list[Hit]:
    """Put the pictures among the first hits into the order that the re-ranker sees.

    Pictures change places among themselves only: recordings and videos, which it cannot judge,
    stay where they are, and so does everything behind `top`. A judged hit's `score` becomes the
    probability of a match, its `first_stage_score` is what it had before. A picture that cannot
    be read any more comes after the judged ones and keeps its score.

    Args:
        hits: Best first, as the first stage ranked them.
        text: The query.
        reranker: The judge.
        top: Hits that are considered.
    """
    places = [place for place, hit in enumerate(hits[:top]) if hit.modality is Medium.IMAGE]
    readable, pictures = [], []
    for place in places:
        pixels = _pixels(hits[place].uri, reranker.geometry)
        if pixels is not None:
            readable.append(place)
            pictures.append(pixels)
    if not readable:
        return list(hits)
    chances = reranker.probabilities(text, np.stack(pictures))
    judged = [
        replace(hits[place], score=float(chance), first_stage_score=hits[place].score)
        for place, chance in zip(readable, chances, strict=True)
    ]
    judged.sort(key=lambda hit: -hit.score)  # stable: ties keep the first stage's order
    unread = [hits[place] for place in places if place not in readable]
    result = list(hits)
    for place, hit in zip(places, [*judged, *unread], strict=True):
        result[place] = hit
    return result


def _pixels(uri: str, geometry: ImageGeometry) -> NDArray[np.uint8] | None:
    """Decode a picture again; None, with a warning, where it is gone or damaged."""
    container, member = container_of(uri)
    path = uri_to_path(container)
    side = 2 * max(geometry.height, geometry.width)
    try:
        if member is None:
            return fit(read_image(os.fspath(path), draft_side=side), geometry)
        with open_member(path, member) as file:
            return fit(read_image(file, draft_side=side), geometry)
    except (RetrievalError, OSError) as error:
        logger.warning("%s: not re-ranked, it cannot be read again: %s", uri, error)
        return None
