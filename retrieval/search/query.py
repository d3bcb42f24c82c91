"""Parses queries: plain text, or a weighted sum of texts and files.

`"a horse" + 0.5*@stripes.png - "cartoon"` is a sum, `sci-fi - night` is text, and
`"sci-fi" - night` is an error; see `retrieval.search.expression`.
"""

from __future__ import annotations

import json
import math
import operator
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, TypeAlias

from retrieval.errors import QueryError, short_repr
from retrieval.files.reading import read_text
from retrieval.search.expression import parse_sum
from retrieval.search.pictures import picture_of
from retrieval.texts.word_query import WordQuery

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

MAX_QUERY_CHARS = 100_000
"""Longer queries are refused. Models truncate shorter ones to their context length."""

MAX_TERMS = 100
"""Number of terms in one sum."""

QueryLike: TypeAlias = "str | os.PathLike[str] | Query | Image.Image | NDArray[np.uint8]"
"""Types that `search` accepts as a query."""


@dataclass(frozen=True, slots=True)
class EmbeddedFile:
    """A file that is embedded already.

    Attributes:
        name: Name in messages.
        vectors: (m, dim) float32 unit vectors by space; m = 0 where a model does not embed it.
    """

    name: str
    vectors: Mapping[str, NDArray[np.float32]] = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Term:
    """One weighted term of a query: a text, a file, an item of the collection or a picture.

    A file is a path, or embedded already. `collection` is the name of the item's collection in a
    search of several.

    Raises:
        QueryError: Not exactly one of them is set, it is empty or not valid Unicode, or the weight
            is not finite.
    """

    text: str | None = None
    path: str | None = None
    weight: float = 1.0
    item_id: int | None = None
    picture: Image.Image | None = field(default=None, hash=False)
    file: EmbeddedFile | None = None
    collection: str | None = None

    def __post_init__(self) -> None:
        values = (self.text, self.path, self.item_id, self.picture, self.file)
        if sum(value is not None for value in values) != 1:
            raise QueryError(f"a term must be one of text, file, item and picture, got {self}")
        if not math.isfinite(self.weight):
            raise QueryError(f"weights must be finite numbers, got {self.weight}")
        if self.text is not None:
            _check_text(self.text)
        if self.path is not None:
            _check_path(self.path)

    def __str__(self) -> str:
        weight = "" if abs(self.weight) == 1 else f"{abs(self.weight):g}*"
        if self.item_id is not None:
            place = "" if self.collection is None else f"{self.collection}:"
            return f"{weight}item {place}{self.item_id}"
        if self.picture is not None:
            return f"{weight}a picture of {self.picture.width} × {self.picture.height}"
        if self.file is not None:
            return f"{weight}{self.file.name}"
        text, prefix = (self.text, "") if self.path is None else (self.path, "@")
        quoted = str(text).replace("\\", "\\\\").replace('"', '\\"')
        return f'{weight}{prefix}"{quoted}"'


class TextSyntax(Enum):
    """How a query of a single text was written; it decides which of the words must match."""

    LITERAL = auto()
    """A text without operators."""
    WORDS = auto()
    """Words with operators: `dog "new york" -beach`."""
    PHRASE = auto()
    """One text in quotes: `"new york"`."""


@dataclass(frozen=True, slots=True)
class Query:
    """A weighted sum of one or more terms.

    Attributes:
        syntax: How a query of a single text was written.

    Raises:
        QueryError: There is no term, or more than MAX_TERMS.
    """

    terms: tuple[Term, ...]
    syntax: TextSyntax = field(default=TextSyntax.LITERAL, compare=False)

    def __post_init__(self) -> None:
        if not self.terms:
            raise QueryError("the query is empty; give a text or @FILE")
        if len(self.terms) > MAX_TERMS:
            raise QueryError(
                f"the query has {len(self.terms)} terms, at most {MAX_TERMS} are allowed"
            )

    @classmethod
    def of_text(cls, text: str) -> Query:
        """Create a query from literal text, which is not parsed."""
        return cls((Term(text=text),))

    @classmethod
    def of(cls, value: QueryLike) -> Query:
        """Convert an expression, a path, a picture or a query.

        Raises:
            QueryError: The value has another type, or the expression is invalid.
        """
        if isinstance(value, Query):
            return value
        if isinstance(value, str):
            return parse_query(value)
        if isinstance(value, os.PathLike):
            return cls((Term(path=os.path.expanduser(os.fsdecode(value))),))
        picture = picture_of(value)
        if picture is None:
            raise QueryError(
                f"a query must be a text, a path, a picture (PIL or an array of uint8) or a Query, "
                f"got {type(value).__name__}"
            )
        return cls((Term(picture=picture),))

    @classmethod
    def like(cls, item_id: int, collection: str | None = None) -> Query:
        """Search with the stored vectors of an item of the collection.

        Args:
            item_id: The item.
            collection: Name of its collection, for a search of several.

        Raises:
            QueryError: The id is not an integer.
        """
        try:
            return cls((Term(item_id=operator.index(item_id), collection=collection),))
        except TypeError:
            raise QueryError(f"an item id must be a whole number, got {item_id!r}") from None

    @property
    def words(self) -> WordQuery | None:
        """The words of a query that is a single text; None for files and sums."""
        term = self.terms[0]
        if len(self.terms) > 1 or term.text is None or term.weight != 1:
            return None
        if self.syntax is TextSyntax.WORDS:
            return WordQuery.parse(term.text)
        return WordQuery(
            term.text, phrases=(term.text,) if self.syntax is TextSyntax.PHRASE else ()
        )

    @property
    def item_ids(self) -> tuple[int, ...]:
        """Items of the collection that the query consists of."""
        return tuple(term.item_id for term in self.terms if term.item_id is not None)

    def __str__(self) -> str:
        if len(self.terms) == 1 and self.terms[0].text is not None:
            return self.terms[0].text
        joined = "".join(f" {'-' if term.weight < 0 else '+'} {term}" for term in self.terms)
        return joined.removeprefix(" + ").strip()


@dataclass(frozen=True, slots=True)
class NumberedQuery:
    """One line of a query file: `{"qid": 7, "query": "a horse"}`."""

    qid: int | str
    text: str
    query: Query


def parse_query(text: str, *, files: bool = True) -> Query:
    r"""Parse a query as a sum, or return it as plain text, whose words can have operators.

    A sum consists of terms `[weight*]("text" | @path | @"path")`, joined by `+` or `-`. Inside
    quotes `\"` and `\\` represent `"` and `\`. A path without quotes is the longest one that names
    an existing file, else it ends at the first space. `archive.tar!member` is a member of a tar, a
    leading `~` the home folder. Without `files`, no path is looked at, and a sum consists of texts.

    Raises:
        QueryError: The query is empty, longer than MAX_QUERY_CHARS, not valid Unicode, has a weight
            that overflows, or looks like a sum but is invalid.
    """
    if len(text) > MAX_QUERY_CHARS:
        raise QueryError(
            f"the query has {len(text):,} characters, at most {MAX_QUERY_CHARS:,} are allowed; "
            "shorten it, or put many queries into a file"
        )
    summands = parse_sum(text, files=files)
    if summands is None:
        return Query((Term(text=text.strip()),), TextSyntax.WORDS)
    terms = tuple(Term(text=s.text, path=s.path, weight=s.weight) for s in summands)
    return Query(terms, TextSyntax.PHRASE)


def read_queries(path: str | os.PathLike[str]) -> list[NumberedQuery]:
    """Read a JSON Lines file of `{"qid": …, "query": …}`; blank lines are skipped.

    The default qid is the line number.

    Raises:
        QueryError: The file cannot be read, or a line is malformed or repeats a qid. The message
            names the file and the line.
    """
    try:
        lines = read_text(path).split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError(f"{os.fspath(path)}: cannot be read as UTF-8 text ({error})") from error
    queries = list(_numbered_queries(os.fspath(path), lines))
    if not queries:
        raise QueryError(
            f'{os.fspath(path)}: no queries; expected lines such as {{"qid": 1, "query": "…"}}'
        )
    return queries


def _numbered_queries(path: str, lines: list[str]) -> Iterator[NumberedQuery]:
    seen: set[int | str] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            query = _numbered_query(line, number)
        except QueryError as error:
            raise QueryError(f"{path}, line {number}: {error}") from error
        if query.qid in seen:
            raise QueryError(f"{path}, line {number}: the qid {short_repr(query.qid)} occurs twice")
        seen.add(query.qid)
        yield query


def _numbered_query(line: str, number: int) -> NumberedQuery:
    try:
        raw = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        raw = None
    if not isinstance(raw, dict) or "query" not in raw:
        raise QueryError('expected an object such as {"qid": 1, "query": "…"}')
    qid, text = raw.get("qid", number), raw["query"]
    if isinstance(qid, bool) or not isinstance(qid, int | str):
        raise QueryError(f"the qid must be a number or a string, got {short_repr(qid)}")
    if not isinstance(text, str):
        raise QueryError(f"the query must be a string, got {short_repr(text)}")
    return NumberedQuery(qid, text, parse_query(text))


def _check_text(text: str) -> None:
    if not text.strip():
        raise QueryError("the query is empty; give a text or @FILE")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise QueryError(
            f"the query is not valid Unicode at character {error.start + 1}; encode it as UTF-8"
        ) from error


def _check_path(path: str) -> None:
    """Refuse impossible file names. Names may contain bytes that are not UTF-8."""
    if not path or "\0" in path:
        raise QueryError(f"@{path!r} is not a file name")
    try:
        os.fsencode(path)
    except UnicodeEncodeError as error:
        raise QueryError(f"@{path!r} is not a valid file name on this system") from error
