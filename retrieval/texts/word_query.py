"""Parses the words of a text query: `dog "new york" -beach`.

Any of the words may match. A phrase in double quotes must occur in a text of the item, and a word
after a minus must not. A minus excludes only at the start of a word, so that `sci-fi` and
`sci-fi - night` are plain words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_OPERATORS = re.compile(
    r"""
    (?<![^\s(]) (?: "(?P<quoted>[^"]{0,1000})" | “(?P<curly>[^”]{0,1000})” ) (?= $ | [\s.,;:!?)] )
    | (?<!\S) - (?P<excluded>\w\S*)
    """,
    re.VERBOSE,
)
MAX_CHARS = 4_000
"""Characters of a query whose words are searched; the rest is left to models."""

MAX_OPERATORS = 16
"""Number of distinct phrases, and of distinct excluded words; further ones are ignored."""

_LETTER = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class WordQuery:
    """The words of a query.

    Attributes:
        words: Text of the words that may match, those of phrases included.
        phrases: Every matching item has a text that contains each of them.
        excluded: No matching item has a text that contains one of them.
        restricts_vectors: Whether phrases and excluded words also restrict the hits of vectors.
    """

    words: str
    phrases: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    restricts_vectors: bool = False

    @classmethod
    def parse(cls, text: str) -> WordQuery:
        """Parse a plain text query. Without a word to search for, the text has no operators."""
        text = text[:MAX_CHARS]
        phrases, excluded, rest, end = [], [], [], 0
        for match in _OPERATORS.finditer(text):
            phrase = match["quoted"] or match["curly"] or ""
            if match["excluded"] is None and not _LETTER.search(phrase):
                continue
            rest.append(text[end : match.start()])
            end = match.end()
            if match["excluded"] is not None:
                excluded.append(match["excluded"])
            else:
                phrases.append(phrase)
                rest.append(phrase)
        words = "".join([*rest, text[end:]])
        if not (phrases or excluded) or not _LETTER.search(words):
            return cls(text)
        return cls(
            " ".join(words.split()),
            tuple(dict.fromkeys(phrases))[:MAX_OPERATORS],
            tuple(dict.fromkeys(excluded))[:MAX_OPERATORS],
            restricts_vectors=True,
        )
