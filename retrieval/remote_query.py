"""Converts queries to the parameters of a server's `/api/search`, and lists the files to send."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from retrieval.errors import QueryError
from retrieval.search.query import Query, Term, TextSyntax, parse_query

WEIGHT_DIGITS = 9
"""Decimals of the weight of an item or file."""


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file of a query: its sha256 in hex, and how to open it."""

    digest: str
    term: Term

    @contextmanager
    def opened(self) -> Iterator[tuple[IO[bytes], int]]:
        """Open the content; yield it with its size."""
        with _content(self.term) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            yield file, size


@dataclass(frozen=True, slots=True)
class RemoteQuery:
    """A query as parameters, and the files that these name.

    Raises:
        QueryError: A file cannot be read, or a server cannot be asked such a query.
    """

    parameters: dict[str, str | list[str]]
    files: list[SentFile]

    @classmethod
    def of(cls, query: Query) -> RemoteQuery:
        """Convert a query."""
        parameters: dict[str, str | list[str]] = {}
        texts = [term for term in query.terms if term.text is not None]
        if texts:
            parameters["q"] = _text_of(query, texts)
        likes = [term for term in query.terms if term.item_id is not None]
        if likes:
            parameters["like"] = [f"{term.item_id}:{_weight(term)}" for term in likes]
        sent: list[SentFile] = []
        names: list[str] = []
        for term in query.terms:
            if term.file is not None:
                raise QueryError("a server embeds files itself; give the path of the file")
            if term.path is not None or term.picture is not None:
                with _content(term) as file:
                    sent.append(SentFile(hashlib.file_digest(file, "sha256").hexdigest(), term))
                names.append(f"{sent[-1].digest}:{_weight(term)}")
        if names:
            parameters["file"] = names
        return cls(parameters, sent)


def _text_of(query: Query, texts: list[Term]) -> str:
    """Write the texts as an expression that a server parses to the same terms and words."""
    if len(query.terms) == 1 and texts[0].weight == 1 and query.syntax is not TextSyntax.PHRASE:
        written = str(texts[0].text)
    else:
        written = " ".join(
            f'{"-" if term.weight < 0 else "+"} {abs(term.weight)!r}*"{_escaped(term)}"'
            for term in texts
        )
    parsed = parse_query(written, files=False)
    if parsed.terms != tuple(texts) or (
        len(query.terms) == 1 and parsed.words is not None and parsed.words != query.words
    ):
        raise QueryError(
            f"a server reads {str(query)[:60]!r} as an expression; pass it as a text, with quotes "
            "around what is literal"
        )
    return written


def _escaped(term: Term) -> str:
    return str(term.text).replace("\\", "\\\\").replace('"', '\\"')


def _weight(term: Term) -> str:
    return f"{term.weight:.{WEIGHT_DIGITS}f}".rstrip("0").rstrip(".")


@contextmanager
def _content(term: Term) -> Iterator[io.BytesIO | io.BufferedReader]:
    """Open the file of a term, or a picture as PNG, which keeps every pixel."""
    if term.picture is not None:
        content = io.BytesIO()
        term.picture.save(content, "PNG")
        content.seek(0)
        yield content
        return
    from retrieval.search.query_vectors import open_query_file

    path = str(term.path)
    with open_query_file(path) as source:
        try:
            file = open(source.path, "rb")  # noqa: SIM115  # closed below
        except OSError as error:
            raise QueryError(f"@{path}: cannot be read ({error.strerror})") from error
        with file:
            yield file
