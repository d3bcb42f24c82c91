"""The moments of hits: spans of files, padded, with names for the files that show them."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from retrieval.errors import QueryError
from retrieval.media.names import container_of, is_address, uri_to_path
from retrieval.timelines.names import file_stem
from retrieval.types import Hit, Medium


class Answer(Protocol):
    """The hits of one query, such as a `SearchResult`."""

    @property
    def query(self) -> str:
        """The query as text."""
        ...

    @property
    def hits(self) -> Sequence[Hit]:
        """Its hits, best first."""
        ...


@dataclass(frozen=True, slots=True)
class QueryHits:
    """The hits of one query."""

    query: str
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """A span of a file to export.

    Attributes:
        query: The query that found it; may be empty.
        stem: Name of its file without suffix; differs from those of all other moments.
        start_seconds: Start; None for an image.
        end_seconds: End; None for an image, infinity for a whole file.
    """

    query: str
    hit: Hit
    stem: str
    start_seconds: float | None
    end_seconds: float | None

    @property
    def is_image(self) -> bool:
        """Whether the hit is a still image."""
        return self.hit.modality is Medium.IMAGE

    @property
    def span(self) -> tuple[float, float]:
        """Start and end; the whole file if there are no times."""
        return self.start_seconds or 0.0, math.inf if self.end_seconds is None else self.end_seconds

    @property
    def file_name(self) -> str:
        """Name of the source file without folders, or of the member of an archive."""
        return os.path.basename(source_name(self.hit.uri))


def source_name(uri: str) -> str:
    """Return the path of a uri, the member's name for one in an archive, or the address."""
    if is_address(uri):
        return uri
    container, member = container_of(uri)
    return uri_to_path(container) if member is None else member


def moments_of(answers: Iterable[Answer], pad_seconds: float = 0.0) -> list[Moment]:
    """Collect the moments of some queries, in their order.

    Args:
        answers: Queries with their hits.
        pad_seconds: Seconds to add before and after each moment; none begins before 0.

    Raises:
        QueryError: The padding is negative or not finite, or a hit has invalid times.
    """
    if not 0 <= pad_seconds < math.inf:
        raise QueryError(f"the padding must be 0 or more seconds, got {pad_seconds}")
    answers = list(answers)
    ranks = [hit.rank for answer in answers for hit in answer.hits]
    digits = max(2, len(str(max(ranks, default=0))))
    stems: Counter[str] = Counter()
    moments = []
    for answer in answers:
        for hit in answer.hits:
            start, end = _padded(hit, pad_seconds)
            stem = file_stem(answer.query, hit.rank, start, digits=digits)
            stems[stem] += 1
            if stems[stem] > 1:  # two queries of the same words
                stem = f"{stem}_{stems[stem]}"
            moments.append(Moment(answer.query, hit, stem, start, end))
    return moments


def _padded(hit: Hit, pad_seconds: float) -> tuple[float | None, float | None]:
    if hit.modality is Medium.IMAGE:
        return None, None
    start, end = hit.start_seconds, hit.end_seconds
    if start is None or end is None:
        return 0.0, math.inf
    if not 0 <= start < end < math.inf:
        raise QueryError(
            f"hit {hit.rank} spans [{start}, {end}) seconds; expected 0 <= start < end"
        )
    return round(max(0.0, start - pad_seconds), 6), round(end + pad_seconds, 6)
