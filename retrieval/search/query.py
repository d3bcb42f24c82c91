"""What people type into a search, parsed: plain text, or a sum of texts and files.

`"a horse" + 0.5*@stripes.png - "cartoon"` is an expression, `sci-fi - night` is text: a query is an
expression if and only if the whole of it parses as one.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from retrieval.errors import QueryError
from retrieval.regular_files import read_text

MAX_QUERY_CHARS = 100_000
"""Longer queries are refused; of shorter texts a model reads as much as its context holds."""

MAX_TERMS = 100
"""Texts and files in one sum."""

_TERM = re.compile(
    r"""\s*
    (?:(?P<weight>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*\*\s*)?
    (?:(?P<at>@?)"(?P<quoted>(?:[^"\\]|\\.)*)" | @(?P<bare>[^\s"]\S*))
    \s*""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r'\\(["\\])')


@dataclass(frozen=True, slots=True)
class Term:
    """One summand of a query: a text or a file, and its weight.

    Raises:
        QueryError: Not exactly one of text and path, an empty or undecodable one, or a weight
            that is not finite.
    """

    text: str | None = None
    path: str | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if (self.text is None) == (self.path is None):
            raise QueryError(f"a term is either a text or a file, got {self}")
        if not math.isfinite(self.weight):
            raise QueryError(f"weights must be finite numbers, got {self.weight}")
        if self.text is not None:
            _check_text(self.text)
        if self.path is not None:
            _check_path(self.path)

    def __str__(self) -> str:
        text, at = (self.text, "") if self.path is None else (self.path, "@")
        quoted = str(text).replace("\\", "\\\\").replace('"', '\\"')
        weight = "" if abs(self.weight) == 1 else f"{abs(self.weight):g}*"
        return f'{weight}{at}"{quoted}"'


@dataclass(frozen=True, slots=True)
class Query:
    """A weighted sum of texts and files, at least one.

    Raises:
        QueryError: No term, or more than MAX_TERMS.
    """

    terms: tuple[Term, ...]

    def __post_init__(self) -> None:
        if not self.terms:
            raise QueryError("the query is empty; type a text or @FILE")
        if len(self.terms) > MAX_TERMS:
            raise QueryError(f"the query has {len(self.terms)} terms, at most {MAX_TERMS} are read")

    @classmethod
    def of_text(cls, text: str) -> Query:
        """One text as it is: in a sentence `"a" + "b"` is no sum."""
        return cls((Term(text=text),))

    def __str__(self) -> str:
        if len(self.terms) == 1 and self.terms[0].text is not None:
            return self.terms[0].text
        joined = "".join(f" {'-' if term.weight < 0 else '+'} {term}" for term in self.terms)
        return joined.removeprefix(" + ").strip()


@dataclass(frozen=True, slots=True)
class NumberedQuery:
    """One line of a `--queries` file: `{"qid": 7, "query": "a horse"}`."""

    qid: int | str
    text: str
    query: Query


def parse_query(text: str) -> Query:
    r"""Read a query: an expression where all of it parses as one, else the text itself.

    An expression is `[weight*]("text" | @path | @"path")`, joined by `+` or `-`. A path without
    quotes ends at the first space; inside quotes `\"` and `\\` stand for `"` and `\`. A leading
    `~` of a path is the home folder.

    Raises:
        QueryError: Empty, longer than MAX_QUERY_CHARS, not valid Unicode, or a weight that
            overflows.
    """
    if len(text) > MAX_QUERY_CHARS:
        raise QueryError(
            f"the query has {len(text):,} characters, at most {MAX_QUERY_CHARS:,} are read; "
            "shorten it, or put many queries into a file for --queries"
        )
    terms = _parse_expression(text)
    return Query.of_text(text.strip()) if terms is None else Query(tuple(terms))


def read_queries(path: str | os.PathLike[str]) -> list[NumberedQuery]:
    """Read a JSON Lines file of `{"qid": …, "query": …}`; blank lines are passed over.

    Raises:
        QueryError: The file cannot be read, or a line is malformed or repeats a qid; the message
            names file and line.
    """
    try:
        lines = read_text(path).split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError(f"{os.fspath(path)}: cannot be read as UTF-8 text ({error})") from error
    queries = list(_numbered_queries(os.fspath(path), lines))
    if not queries:
        raise QueryError(
            f'{os.fspath(path)}: no queries; expected lines as {{"qid": 1, "query": "…"}}'
        )
    return queries


def _numbered_queries(path: str, lines: list[str]) -> Iterator[NumberedQuery]:
    seen: set[int | str] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            query = _numbered_query(line)
        except (QueryError, json.JSONDecodeError, RecursionError) as error:
            raise QueryError(f"{path}, line {number}: {error}") from error
        if query.qid in seen:
            raise QueryError(f"{path}, line {number}: the qid {query.qid!r} occurs twice")
        seen.add(query.qid)
        yield query


def _numbered_query(line: str) -> NumberedQuery:
    raw = json.loads(line)
    if not isinstance(raw, dict) or not {"qid", "query"} <= raw.keys():
        raise QueryError('expected an object as {"qid": 1, "query": "…"}')
    qid, text = raw["qid"], raw["query"]
    if isinstance(qid, bool) or not isinstance(qid, int | str):
        raise QueryError(f"the qid must be a number or a string, got {qid!r}")
    if not isinstance(text, str):
        raise QueryError(f"the query must be a string, got {text!r}")
    return NumberedQuery(qid, text, parse_query(text))


def _parse_expression(text: str) -> list[Term] | None:
    """Terms of an expression, or None where not all of the text is one."""
    matches: list[tuple[str, re.Match[str]]] = []
    sign, position = "+", 0
    while True:
        match = _TERM.match(text, position)
        if match is None:
            return None
        matches.append((sign, match))
        position = match.end()
        if position == len(text):
            return [_term(sign, match) for sign, match in matches]
        sign, position = text[position], position + 1
        if sign not in "+-":
            return None


def _term(sign: str, match: re.Match[str]) -> Term:
    weight = float(match["weight"] or 1) * (-1 if sign == "-" else 1)
    if match["bare"] is not None:
        return Term(path=os.path.expanduser(match["bare"]), weight=weight)
    unquoted = _ESCAPED.sub(r"\1", match["quoted"])
    if match["at"]:
        return Term(path=os.path.expanduser(unquoted), weight=weight)
    return Term(text=unquoted.strip(), weight=weight)


def _check_text(text: str) -> None:
    if not text.strip():
        raise QueryError("the query is empty; type a text or @FILE")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise QueryError(
            f"the query is not valid Unicode at character {error.start + 1}; type it as UTF-8"
        ) from error


def _check_path(path: str) -> None:
    """Refuse what no file can be called; bytes that are not UTF-8 are legal in a name."""
    if not path or "\0" in path:
        raise QueryError(f"@{path!r} names no file")
    try:
        os.fsencode(path)
    except UnicodeEncodeError as error:
        raise QueryError(f"@{path!r} cannot be a file's name on this system") from error
