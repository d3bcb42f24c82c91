"""A query's vectors in every space that can hold it."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import NamedTemporaryFile

import numpy as np
from numpy.typing import NDArray

from retrieval.embedding.assembly import Assembler
from retrieval.encoders.spaces import decode_plan
from retrieval.errors import (
    MissingExtraError,
    ModelError,
    QueryError,
    RetrievalError,
    WeightsNotAvailableError,
    short_repr,
)
from retrieval.media.archives import open_member
from retrieval.media.decode import decode
from retrieval.media.files import container_of, path_to_uri, uri_to_path
from retrieval.media.image import fit
from retrieval.protocols import Encoder
from retrieval.search.calibration import QueryKind
from retrieval.search.query import Query, Term
from retrieval.types import EmbeddedItem, Failure, ItemUnchanged, Medium, Source, Space

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


Stored = Callable[[str, int], NDArray[np.float32]]
"""Gives the vectors of an item in a space, (m, dim); m = 0 where it has none there."""


def embed_query(
    query: Query,
    spaces: Sequence[Space],
    encoders: Callable[[Space], Encoder],
    stored: Stored | None = None,
) -> dict[str, QueryVectors]:
    """Embed a query in every space that embeds all of its terms.

    A single file or item keeps up to 64 of its segments; in a sum each stands for their mean.

    Args:
        query: What is asked.
        spaces: Those of the collection.
        encoders: Gives the encoder of a space.
        stored: Gives the vectors of items; None: the query names no items.

    Raises:
        QueryError: No space embeds every term, a file cannot be read, or the sum cancels out.
    """
    pairs = _pairs(spaces, encoders)
    texts_only = all(term.text is not None for term in query.terms)
    kind = QueryKind.TEXT if texts_only else QueryKind.MEDIA
    files = {
        term.path: _segments_of_file(term.path, pairs)
        for term in query.terms
        if term.path is not None
    }
    embedded = {}
    for name, (_, encoder) in pairs.items():
        parts = [_term_vectors(term, name, encoder, files, stored) for term in query.terms]
        if all(len(part) for part in parts):
            embedded[name] = QueryVectors(_combined(query.terms, parts), kind)
    if not embedded:
        raise QueryError(
            f"no model of this collection embeds {short_repr(str(query))}; "
            "`retrieval embed` with a further --model"
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
    term: Term,
    space: str,
    encoder: Encoder,
    files: dict[str, dict[str, NDArray[np.float32]]],
    stored: Stored | None,
) -> NDArray[np.float32]:
    if term.text is not None:
        return encoder.encode_text([term.text])
    if term.item_id is not None:
        if stored is None:
            raise QueryError(f"{term} is asked for where no collection is")
        return _evenly(stored(space, term.item_id))
    if term.picture is not None:
        if Medium.IMAGE not in encoder.media or encoder.geometry is None:
            return np.empty((0, encoder.dim), np.float32)
        return encoder.encode_images(fit(term.picture, encoder.geometry)[None])
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
    with _opened(path) as source:
        return _segments_of_source(source, path, pairs)


@contextmanager
def _opened(path: str) -> Iterator[Source]:
    """A file, or a member of a tar as a file of its own."""
    uri = path_to_uri(path)
    archive, member = container_of(uri)
    if os.path.isfile(path) or member is None:
        if not os.path.isfile(path):
            raise QueryError(f"@{path}: there is no such file")
        yield Source(uri=uri, path=path)
        return
    tar = uri_to_path(archive)
    if not os.path.isfile(tar):
        raise QueryError(f"@{path}: there is no such tar")
    with NamedTemporaryFile(suffix=os.path.splitext(member)[1]) as file:
        try:
            with open_member(tar, member) as content:
                shutil.copyfileobj(content, file)
        except RetrievalError as error:
            raise QueryError(f"@{path}: {error}") from error
        file.flush()
        yield Source(uri=uri, path=file.name)


def _segments_of_source(
    source: Source, path: str, pairs: dict[str, tuple[Space, Encoder]]
) -> dict[str, NDArray[np.float32]]:
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
