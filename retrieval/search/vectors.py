"""A query's vectors in every space that can hold it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.assembly import Assembler
from retrieval.encoders.spaces import decode_plan
from retrieval.errors import (
    MissingExtraError,
    ModelError,
    QueryError,
    WeightsNotAvailableError,
)
from retrieval.media.decode import decode
from retrieval.media.files import path_to_uri
from retrieval.protocols import Encoder
from retrieval.search.calibration import QueryKind
from retrieval.search.query import Query, Term
from retrieval.types import EmbeddedItem, Failure, ItemUnchanged, Source, Space

logger = logging.getLogger(__name__)

MAX_QUERY_VECTORS = 64
"""Segments that a recording or video keeps as a query, evenly spaced."""

SHORTEST_SUM = 1e-3
"""A sum of unit vectors shorter than this has cancelled out."""


@dataclass(frozen=True, slots=True)
class QueryVectors:
    """A query in one space: (m, dim) float32 unit vectors, m > 1 only for a single file."""

    vectors: NDArray[np.float32]
    kind: QueryKind


def embed_query(
    query: Query, spaces: Sequence[Space], encoders: Callable[[Space], Encoder]
) -> dict[str, QueryVectors]:
    """Embed a query in every space that embeds all of its terms.

    A single file keeps up to 64 of its segments; in a sum each file stands for their mean.

    Raises:
        QueryError: No space embeds every term, a file cannot be read, or the sum cancels out.
    """
    pairs = _pairs(spaces, encoders)
    kind = QueryKind.TEXT if all(term.path is None for term in query.terms) else QueryKind.MEDIA
    files = {
        term.path: _segments_of_file(term.path, pairs)
        for term in query.terms
        if term.path is not None
    }
    embedded = {}
    for name, (_, encoder) in pairs.items():
        parts = [_term_vectors(term, name, encoder, files) for term in query.terms]
        if all(len(part) for part in parts):
            embedded[name] = QueryVectors(_combined(query.terms, parts), kind)
    if not embedded:
        raise QueryError(
            f"no model of this collection embeds {query}; `retrieval embed` with a further --model"
        )
    return embedded


def _pairs(
    spaces: Sequence[Space], encoders: Callable[[Space], Encoder]
) -> dict[str, tuple[Space, Encoder]]:
    """Spaces with their encoders; without those whose model is not on this machine, if others are.

    Raises:
        WeightsNotAvailableError: No model is here.
    """
    pairs: dict[str, tuple[Space, Encoder]] = {}
    absent: list[ModelError | MissingExtraError] = []
    for space in spaces:
        try:
            pairs[space.name] = (space, encoders(space))
        except (WeightsNotAvailableError, MissingExtraError) as error:
            absent.append(error)
    if absent and not pairs:
        raise absent[0]
    for reason in absent:
        logger.warning("a part of the collection is not searched: %s", reason)
    return pairs


def _term_vectors(
    term: Term, space: str, encoder: Encoder, files: dict[str, dict[str, NDArray[np.float32]]]
) -> NDArray[np.float32]:
    if term.text is not None:
        return encoder.encode_text([term.text])
    return files[str(term.path)][space]


def _combined(terms: Sequence[Term], parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    if len(terms) == 1 and terms[0].weight > 0:
        return parts[0]
    total = np.zeros(parts[0].shape[1])
    for term, part in zip(terms, parts, strict=True):
        mean = part.astype(np.float64).mean(axis=0)
        total += term.weight * mean / max(float(np.linalg.norm(mean)), SHORTEST_SUM)
    length = float(np.linalg.norm(total))
    if not np.isfinite(length) or length < SHORTEST_SUM:
        raise QueryError("the terms of the query cancel each other out; change their weights")
    return (total / length)[None].astype(np.float32)


def _segments_of_file(
    path: str, pairs: dict[str, tuple[Space, Encoder]]
) -> dict[str, NDArray[np.float32]]:
    """Decode and encode a file as `embed` does; (m, dim) per space, m = 0 where it has nothing."""
    if not os.path.isfile(path):
        raise QueryError(f"@{path}: there is no such file")
    source = Source(uri=path_to_uri(os.path.abspath(path)), path=path)
    plan = decode_plan(list(pairs.values()), sound_of_videos=True)
    assembler = Assembler(pairs)
    for event in decode(source, plan, {}):
        if isinstance(event, Failure):
            raise QueryError(f"@{path}: {event.reason}")
        if not isinstance(event, ItemUnchanged):
            assembler.add(event)
    assembler.flush()
    for item in assembler.finished():
        if isinstance(item, EmbeddedItem):
            return {name: _evenly(part.vectors) for name, part in item.segments.items()}
        raise QueryError(f"@{path}: {item.reason}")
    raise QueryError(f"@{path} holds nothing that can be searched for")


def _evenly(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    if len(vectors) <= MAX_QUERY_VECTORS:
        return vectors
    evenly: NDArray[np.float32] = vectors[
        np.linspace(0, len(vectors) - 1, MAX_QUERY_VECTORS).round().astype(int)
    ]
    return evenly
