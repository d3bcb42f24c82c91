"""Finds the words of a query that say nothing about its topic."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from functools import cache
from typing import TYPE_CHECKING

from retrieval.texts.folding import query_words
from retrieval.texts.tokenizer import LANGUAGES

if TYPE_CHECKING:
    from tantivy import TextAnalyzer

MEDIUM_WORDS = frozenset(
    """
    photo photos photograph photographs picture pictures pic pics image images img shot snapshot
    video videos clip clips film footage movie recording recordings audio sound sounds track scene
    showing shows show taken view
    """.split()  # noqa: SIM905  # a list of words is easier to read
)
"""Words by which a query names the medium. Names of files contain them as well."""

ENGLISH_WORDS = frozenset(
    """
    i me my mine we us our you your he him his she her hers its they them those what which who whom
    whose when where why how from up down out off over under again once here all any both each few
    more most other some than too very can do does did has have had am were been being about near
    during while one two
    """.split()  # noqa: SIM905
)
"""Frequent English words that tantivy's list lacks."""

_RAW_WORD = re.compile(r"[^\W_]+")
_LANGUAGES = ("en", "da", "de", "es", "fi", "fr", "hu", "it", "nl", "no", "pt", "ru", "sv")
"""Languages with a list of stop words in tantivy; the first wins if several match equally."""


def common_words(text: str, language: str | None = None) -> AbstractSet[str]:
    """Return the folded words of a query that are stop words, name a medium, or are one letter.

    The language of the query is the one with most stop words in it.

    Args:
        text: The query.
        language: ISO 639-1 code of the index; its stop words count in any case.
    """
    raw = {word.lower() for word in _RAW_WORD.findall(text)}
    stop_words = [raw - _without_stop_words(raw, code) for code in _LANGUAGES]
    common = max(stop_words, key=lambda words: len(words)).copy()
    if language in _LANGUAGES:
        common |= stop_words[_LANGUAGES.index(language)]
    words = set(query_words(text))
    folded = {word for raw_word in common for word in query_words(raw_word)}
    letters = {word for word in words if len(word) == 1 and word.isascii() and word.isalpha()}
    return words & (folded | letters | MEDIUM_WORDS | ENGLISH_WORDS)


def _without_stop_words(words: AbstractSet[str], code: str) -> set[str]:
    return set(_stop_word_filter(code).analyze(" ".join(sorted(words))))


@cache
def _stop_word_filter(code: str) -> TextAnalyzer:
    from tantivy import Filter, TextAnalyzerBuilder, Tokenizer

    builder = TextAnalyzerBuilder(Tokenizer.whitespace())
    return builder.filter(Filter.stopword(LANGUAGES[code])).build()
