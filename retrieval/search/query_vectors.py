"""Embeds a query in every space that supports all of its terms."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import NamedTemporaryFile

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import (
    MissingExtraError,
    ModelError,
    QueryError,
    RetrievalError,
    WeightsNotAvailableError,
    short_repr,
)
from retrieval.media.names import container_of, path_to_uri, uri_to_path
from retrieval.protocols import Encoder
from retrieval.search.calibration import QueryType
from retrieval.search.query import Query, Term
from retrieval.search.vector_query import MAX_QUERY_VECTORS, VectorQuery
from retrieval.types import (
    DecodeEvent,
    EmbeddedItem,
    Failure,
    ItemUnchanged,
    Medium,
    Source,
    Space,
    WordEvent,
)

logger = logging.getLogger(__name__)

MIN_SUM_LENGTH = 1e-3
"""A shorter sum of unit vectors has cancelled out."""


@dataclass(frozen=True, slots=True)
class QueryVectors:
    """A query in one space: (m, dim) float32 unit vectors, m > 1 only for a single file."""

    vectors: NDArray[np.float32]
    query_type: QueryType


StoredVectors = Callable[[str, int], NDArray[np.float32]]
"""Returns the (m, dim) vectors of an item in a space; m = 0 without segments in that space."""


def embed_query(
    query: Query | VectorQuery,
    spaces: Sequence[Space],
    encoders: Callable[[Space], Encoder],
    stored: StoredVectors | None = None,
) -> dict[str, QueryVectors]:
    """Embed a query in every space that supports all of its terms.

    A single file or item keeps up to MAX_QUERY_VECTORS of its segments. In a sum, the mean of its
    segments represents a file.

    Args:
        query: The query; a vector needs no encoder.
        spaces: Spaces to embed it in.
        encoders: Returns the encoder of a space.
        stored: Returns the vectors of items; None if the query contains no items.

    Raises:
        QueryError: No space embeds every term, a file cannot be read, or the sum cancels out.
        SpaceMismatchError: A vector fits no space.
        WeightsNotAvailableError, MissingExtraError: No encoder can be loaded.
    """
    if isinstance(query, VectorQuery):
        vectors = QueryVectors(query.vectors, QueryType.MEDIA)
        return {query.choose_space(spaces).name: vectors}
    pairs = load_encoders(spaces, encoders)
    only_texts = all(term.text is not None for term in query.terms)
    query_type = QueryType.TEXT if only_texts else QueryType.MEDIA
    files = {
        term.path: _segments_of_file(term.path, pairs)
        for term in query.terms
        if term.path is not None
    }
    embedded = {}
    for name, (_, encoder) in pairs.items():
        parts = [_term_vectors(term, name, encoder, files, stored) for term in query.terms]
        if all(len(part) for part in parts):
            embedded[name] = QueryVectors(_weighted_sum(query.terms, parts), query_type)
    if not embedded:
        raise QueryError(
            f"no model of this collection embeds {short_repr(str(query))}; "
            "embed the collection with a further model"
        )
    return embedded


def load_encoders(
    spaces: Sequence[Space], encoders: Callable[[Space], Encoder]
) -> dict[str, tuple[Space, Encoder]]:
    """Load the encoders of spaces, and skip those whose model is not available.

    Raises:
        WeightsNotAvailableError, MissingExtraError: No model is available.
    """
    pairs: dict[str, tuple[Space, Encoder]] = {}
    errors: list[ModelError | MissingExtraError] = []
    for space in spaces:
        try:
            pairs[space.name] = (space, encoders(space))
        except (WeightsNotAvailableError, MissingExtraError) as error:
            errors.append(error)
    if errors and not pairs:
        raise errors[0]
    for reason in errors:
        logger.warning("one space of the collection is not searched: %s", reason)
    return pairs


def _term_vectors(
    term: Term,
    space: str,
    encoder: Encoder,
    files: dict[str, dict[str, NDArray[np.float32]]],
    stored: StoredVectors | None,
) -> NDArray[np.float32]:
    if term.text is not None:
        return encoder.encode_text([term.text])
    if term.item_id is not None:
        if stored is None:
            raise QueryError(f"{term} needs a collection")
        return _subsample(stored(space, term.item_id))
    if term.file is not None:
        return term.file.vectors.get(space, np.empty((0, encoder.dim), np.float32))
    if term.picture is not None:
        if Medium.IMAGE not in encoder.media or encoder.geometry is None:
            return np.empty((0, encoder.dim), np.float32)
        from retrieval.media.images.fitting import fit

        return encoder.encode_images(fit(term.picture, encoder.geometry)[None])
    return files[str(term.path)][space]


def _weighted_sum(terms: Sequence[Term], parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    if len(terms) == 1 and terms[0].weight > 0:
        return parts[0]
    total = np.zeros(parts[0].shape[1])
    for term, part in zip(terms, parts, strict=True):
        mean = part.astype(np.float64).mean(axis=0)
        total += term.weight * mean / max(float(np.linalg.norm(mean)), MIN_SUM_LENGTH)
    length = float(np.linalg.norm(total))
    if not np.isfinite(length) or length < MIN_SUM_LENGTH:
        raise QueryError("the terms of the query cancel each other out; change their weights")
    return (total / length)[None].astype(np.float32)


@contextmanager
def open_query_file(path: str) -> Iterator[Source]:
    """Open a file, or extract a member of a tar to a temporary file."""
    uri = path_to_uri(path)
    archive, member = container_of(uri)
    if os.path.isfile(path) or member is None:
        if not os.path.isfile(path):
            raise QueryError(f"@{path}: no such file")
        yield Source(uri=uri, path=path)
        return
    tar = uri_to_path(archive)
    if not os.path.isfile(tar):
        raise QueryError(f"@{path}: no such archive {tar}")
    from retrieval.media.archives.members import open_member

    with NamedTemporaryFile(suffix=os.path.splitext(member)[1]) as file:
        try:
            with open_member(tar, member) as content:
                shutil.copyfileobj(content, file)
        except RetrievalError as error:
            raise QueryError(f"@{path}: {error}") from error
        file.flush()
        yield Source(uri=uri, path=file.name)


def _segments_of_file(
    path: str, pairs: dict[str, tuple[Space, Encoder]]
) -> dict[str, NDArray[np.float32]]:
    """Decode and encode a file as `embed` does; (m, dim) per space, m = 0 without segments."""
    # The decoders take a tenth of a second to import, and texts need none.
    from retrieval.encoders.spaces import decode_plan
    from retrieval.media.decode import decode

    plan = decode_plan(list(pairs.values()), sound_of_videos=True)
    with open_query_file(path) as source:
        return embed_events(decode(source, plan, {}), pairs, f"@{path}")


def embed_events(
    events: Iterable[DecodeEvent], pairs: dict[str, tuple[Space, Encoder]], name: str
) -> dict[str, NDArray[np.float32]]:
    """Encode one decoded file; (m, dim) per space, m = 0 without segments.

    Args:
        events: The events of `decode` for one file.
        pairs: Spaces and their encoders, by name.
        name: Name of the file in messages.

    Raises:
        QueryError: The file cannot be decoded or encoded.
    """
    from retrieval.embedding.assembly import Assembler

    assembler = Assembler(pairs)
    for event in events:
        if isinstance(event, Failure):
            raise QueryError(f"{name}: {event.reason}")
        if not isinstance(event, ItemUnchanged | WordEvent):
            assembler.add(event)
    assembler.flush()
    for item in assembler.finished():
        if isinstance(item, EmbeddedItem):
            return {name: _subsample(part.vectors) for name, part in item.segments.items()}
        raise QueryError(f"{name}: {item.reason}")
    raise QueryError(f"{name} contains no supported media")


def _subsample(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keep at most MAX_QUERY_VECTORS rows, evenly spaced."""
    if len(vectors) <= MAX_QUERY_VECTORS:
        return vectors
    positions = np.linspace(0, len(vectors) - 1, MAX_QUERY_VECTORS).round()
    return np.take(vectors, positions.astype(int), axis=0)
