"""Converts texts to the terms of an index: folded words, stemmed if the index has a language."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from retrieval.errors import QueryError, short_repr
from retrieval.texts.folding import (
    MAX_WORD_BYTES,
    Word,
    index_form,
    is_short,
    located_words,
    query_words,
)

if TYPE_CHECKING:
    from tantivy import TextAnalyzer

TOKENIZER_VERSION = 1
"""Changes with the terms of any text; an index of another version is built again."""

LANGUAGES = {
    "ar": "arabic", "da": "danish", "de": "german", "el": "greek", "en": "english",
    "es": "spanish", "fi": "finnish", "fr": "french", "hu": "hungarian", "it": "italian",
    "nl": "dutch", "no": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian",
    "sv": "swedish", "ta": "tamil", "tr": "turkish",
}  # fmt: skip
"""Languages with a stemmer, by ISO 639-1 code."""


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """Converts texts to terms.

    Attributes:
        language: ISO 639-1 code of the stemmer; None: words are not stemmed.
    """

    language: str | None = None

    def terms(self, text: str) -> list[str]:
        """Return the terms of a text in order, as the index contains them."""
        words = index_form(text).split()
        if len(max(words, key=len, default="")) > MAX_WORD_BYTES // 4:  # a character has 4 bytes
            words = [word for word in words if is_short(word)]
        return self._stemmed(words)

    def query_terms(self, text: str) -> list[str]:
        """Return the terms of a query; of several characters in a row only the pairs."""
        return self._stemmed(query_words(text))

    def located_terms(self, text: str) -> Iterator[Word]:
        """Yield the terms of a text with their places in it."""
        words = [word for word in located_words(text) if is_short(word.text)]
        if self.language is None:
            yield from words
            return
        terms = self._stemmed([word.text for word in words])
        for word, term in zip(words, terms, strict=True):
            yield replace(word, text=term)

    def analyzer(self) -> TextAnalyzer:
        """Return the analyzer that tantivy applies to an index form."""
        return _analyzer(self.language)

    def _stemmed(self, words: Sequence[str]) -> list[str]:
        if self.language is None or not words:
            return list(words)
        return _analyzer(self.language).analyze(" ".join(words))


def language_of(name: str | None) -> str | None:
    """Convert the code or the English name of a language to its code; `none` means no stemmer.

    Raises:
        QueryError: There is no stemmer for the language.
    """
    if name is None or name.lower() == "none":
        return None
    for code, english in LANGUAGES.items():
        if name.lower() in (code, english):
            return code
    raise QueryError(
        f"no stemmer for the language {short_repr(name)}; known: {', '.join(LANGUAGES)}, or none"
    )


@cache
def _analyzer(language: str | None) -> TextAnalyzer:
    from tantivy import Filter, TextAnalyzerBuilder
    from tantivy import Tokenizer as Splitter

    # The filter keeps words that are shorter than its limit.
    builder = TextAnalyzerBuilder(Splitter.whitespace()).filter(
        Filter.remove_long(MAX_WORD_BYTES + 1)
    )
    if language is not None:
        builder = builder.filter(Filter.stemmer(LANGUAGES[language]))
    return builder.build()
