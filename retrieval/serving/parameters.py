"""The parameters of a search, and their conversion to a query and options."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from retrieval.errors import QueryError
from retrieval.search.filtering import media_targets
from retrieval.search.options import SearchOptions
from retrieval.search.query import EmbeddedFile, Query, Term, parse_query
from retrieval.serving.limits import (
    MAX_COLLECTIONS,
    MAX_CONDITIONS,
    MAX_HITS,
    MAX_OFFSET,
    MAX_QUERY_LENGTH,
    MAX_TERMS,
)
from retrieval.targets import Target, TextMode
from retrieval.types import Medium

MEDIA_OF = {
    Target.IMAGE: {Medium.IMAGE},
    Target.MUSIC: {Medium.AUDIO},
    Target.VIDEO: {Medium.VIDEO},
}

WEIGHT = r"(?::(?P<weight>[+-]?(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})))?"
ITEM_ID = r"\d{1,18}"
_LIKE = re.compile(rf"(?P<name>{ITEM_ID}){WEIGHT}", re.ASCII)
_FILE = re.compile(rf"(?P<name>[0-9a-f]{{64}}){WEIGHT}", re.ASCII)

Slug = Annotated[str, StringConstraints(max_length=60)]
Condition = Annotated[str, StringConstraints(max_length=MAX_QUERY_LENGTH)]
WeightedName = Annotated[str, StringConstraints(max_length=90)]


class QueryParameters(BaseModel):
    """A query: the sum of a text expression, items and files."""

    model_config = ConfigDict(extra="forbid")

    q: str = Field(
        "",
        max_length=MAX_QUERY_LENGTH,
        description='A text, or a sum of texts: `"a horse" + 0.5*"snow" - "cartoon"`.',
    )
    like: list[WeightedName] = Field(
        [],
        max_length=MAX_TERMS,
        description="Items to add: `ID` or `ID:WEIGHT`, and `SLUG:ID` or `SLUG:ID:WEIGHT` in a "
        "search of several collections; repeatable.",
    )
    file: list[WeightedName] = Field(
        [],
        max_length=MAX_TERMS,
        description="Files that were sent before, by sha256: `SHA256` or `SHA256:WEIGHT`.",
    )

    def query(
        self, file_named: Callable[[str], EmbeddedFile], *, names_collections: bool = False
    ) -> Query | None:
        """Return the sum of all terms; None without any.

        Args:
            file_named: Returns a file by its digest.
            names_collections: Whether items name their collection.

        Raises:
            QueryError: A term is invalid.
            HttpError: A file is not known any more.
        """
        texts = parse_query(self.q, files=False) if self.q.strip() else None
        if texts is not None and not self.like and not self.file:
            return texts
        terms = [] if texts is None else list(texts.terms)
        for text in self.like:
            slug, rest = None, text
            if names_collections:
                slug, colon, rest = text.partition(":")
                if not (slug and colon):
                    raise QueryError(f"like must be SLUG:ITEM_ID, got {text[:40]!r}")
            name, weight = _weighted(_LIKE, rest, "like", "ITEM_ID or ITEM_ID:WEIGHT")
            terms.append(Term(item_id=int(name), weight=weight, collection=slug))
        for text in self.file:
            name, weight = _weighted(_FILE, text, "file", "SHA256 or SHA256:WEIGHT")
            terms.append(Term(file=file_named(name), weight=weight))
        return Query(tuple(terms)) if terms else None


class SearchParameters(QueryParameters):
    """A query, and which of its hits are returned."""

    collection: list[Slug] = Field(
        [],
        max_length=MAX_COLLECTIONS,
        description="Slug of the collection, by default the first one. Several are searched "
        "as one.",
    )
    to: list[Target] = Field(
        [], max_length=8, description="Types of hits; by default images, music and videos."
    )
    k: int = Field(10, ge=1, le=MAX_HITS, description="Number of hits.")
    offset: int = Field(0, ge=0, le=MAX_OFFSET, description="Number of hits to skip.")
    where: list[Condition] = Field(
        [],
        max_length=MAX_CONDITIONS,
        description="SQL conditions over item columns; all must hold.",
    )
    cutoff: bool = Field(False, description="Drop hits that are no better than chance.")
    text: TextMode = Field(
        TextMode.AUTO, description="Whether words of the items' texts count, vectors, or both."
    )
    min_score: float | None = Field(None, description="Drop hits with a lower score.")

    def options(self) -> SearchOptions:
        """Return the options of the search.

        Raises:
            QueryError: A value is out of range.
        """
        if self.min_score is not None and not math.isfinite(self.min_score):
            raise QueryError("min_score must be a finite number")
        return SearchOptions(
            to=list(self.to),
            k=self.k,
            offset=self.offset,
            where=list(self.where),
            cutoff=self.cutoff,
            min_score=self.min_score,
            text=self.text,
        )

    def media(self) -> set[Medium]:
        """Return the media of the segments that can be hits."""
        return {medium for target in media_targets(self.to) for medium in MEDIA_OF[target]}


def _weighted(pattern: re.Pattern[str], text: str, name: str, form: str) -> tuple[str, float]:
    match = pattern.fullmatch(text)
    if match is None:
        raise QueryError(f"{name} must be {form}, got {text[:40]!r}")
    return match["name"], float(match["weight"] or 1)
