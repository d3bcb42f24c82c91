"""Re-ranks the first hits with a model that reads query and picture together.

The first stage compares vectors that were computed separately, so it represents objects better than
their relations. Caption-based image retrieval with ViLBERT (1908.02265) scores the caption jointly
with each picture. That is too slow for a corpus, but not for the first hits.
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
from retrieval.media.names import container_of, uri_to_path
from retrieval.search.query import Query
from retrieval.search.vector_query import VectorQuery
from retrieval.types import Hit, ImageGeometry, Medium

logger = logging.getLogger(__name__)

RERANK_TOP = 20
"""Number of hits that are re-ranked."""

RERANKERS = {
    "tiny": "retrieval.search.reranking.tiny:TinyReranker",
    "blip": "retrieval.search.reranking.blip:BlipReranker",
}
"""Class of each backend, with a method `load(location, *, spec, device)`."""

FORMS = ("tiny", "tiny:FOLDER", "blip:HUB-ID-OR-FOLDER")


class Reranker(Protocol):
    """Computes the probability that a text describes a picture, from both together."""

    @property
    def spec(self) -> str:
        """Specification that loads this model, such as `blip:Salesforce/blip-itm-base-coco`."""
        ...

    @property
    def geometry(self) -> ImageGeometry:
        """Size and preprocessing of the pictures."""
        ...

    def probabilities(self, text: str, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the probability that a text describes each picture.

        Args:
            text: A query; it is truncated to the model's context length.
            pixels: (n, height, width, 3) uint8 RGB of `geometry`'s size; n may be 0.

        Returns:
            (n,) float32 in 0 … 1.
        """
        ...


def load_reranker(spec: str, *, device: str = "auto") -> Reranker:
    """Load a re-ranker by its specification.

    Raises:
        UnknownModelError: The backend is unknown, or the location is missing; only `tiny` comes
            with the package.
        WeightsNotAvailableError: The weights are not on this machine.
        WeightsFormatError: The weights are a pickle, damaged, or of another architecture.
    """
    backend, _, location = spec.partition(":")
    if backend not in RERANKERS or not (location or spec == "tiny"):
        raise UnknownModelError(f"unknown re-ranker {spec!r}; known: {', '.join(FORMS)}")
    module, _, name = RERANKERS[backend].partition(":")
    loader = getattr(importlib.import_module(module), name).load
    reranker: Reranker = loader(location, spec=spec, device=device)
    return reranker


def text_of(query: Query | VectorQuery) -> str:
    """Return the text of a query that consists of a single text.

    Raises:
        QueryError: The query contains a file, a weight or several terms, or is a vector.
    """
    if isinstance(query, Query):
        term = query.terms[0]
        if len(query.terms) == 1 and term.text is not None and term.weight == 1:
            return term.text
    raise QueryError(f"re-ranking needs a single text, got {query}; search without re-ranking")


def rerank(
    hits: Sequence[Hit], text: str, reranker: Reranker, *, top: int = RERANK_TOP
) -> list[Hit]:
    """Sort the images among the first hits by their probability of a match.

    Images swap ranks only among themselves: recordings, videos and hits after `top` keep theirs.
    The `score` of a re-ranked hit is the probability of a match, its `first_stage_score` the score
    before. Images that cannot be read follow the re-ranked ones and keep their score. Hits that
    only words found have no score, and keep their ranks too.

    Args:
        hits: Hits of the first stage, best first.
        text: The query.
        reranker: The model.
        top: Number of hits to consider.
    """
    positions = [
        n
        for n, hit in enumerate(hits[:top])
        if hit.modality is Medium.IMAGE and hit.score is not None
    ]
    readable, pictures, unreadable = [], [], []
    for hit in (hits[position] for position in positions):
        pixels = _read_pixels(hit.uri, reranker.geometry)
        if pixels is None:
            unreadable.append(hit)
        else:
            readable.append(hit)
            pictures.append(pixels)
    if not readable:
        return list(hits)
    probabilities = reranker.probabilities(text, np.stack(pictures))
    # The sort is stable: ties keep their order.
    order = np.argsort(-probabilities, kind="stable")
    scored = [
        replace(readable[n], score=float(probabilities[n]), first_stage_score=readable[n].score)
        for n in order
    ]
    result = list(hits)
    for position, hit in zip(positions, [*scored, *unreadable], strict=True):
        result[position] = hit
    return result


def _read_pixels(uri: str, geometry: ImageGeometry) -> NDArray[np.uint8] | None:
    """Decode a picture; return None, with a warning, if it is missing or damaged."""
    from retrieval.media.archives.members import open_member
    from retrieval.media.images.fitting import fit
    from retrieval.media.images.reading import read_image

    container, member = container_of(uri)
    path = uri_to_path(container)
    side = 2 * max(geometry.height, geometry.width)
    try:
        if member is None:
            return fit(read_image(os.fspath(path), draft_side=side), geometry)
        with open_member(path, member) as file:
            return fit(read_image(file, draft_side=side), geometry)
    except (RetrievalError, OSError) as error:
        logger.warning("%s: not re-ranked, the file cannot be read: %s", uri, error)
        return None
