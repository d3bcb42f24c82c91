"""Counts the terms of a query in many texts at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from retrieval.texts.folding import ascii_form, index_form
from retrieval.texts.tokenizer import Tokenizer


def count_terms(
    texts: Sequence[bytes], terms: Iterable[str], tokenizer: Tokenizer
) -> list[dict[str, int]]:
    """Count the occurrences of terms in each text; terms that a text lacks are left out.

    Args:
        texts: Texts in UTF-8.
        terms: Terms of the tokenizer.
        tokenizer: Tokenizer of the index.
    """
    if tokenizer.language is None:
        return _count_in_block(texts, terms)
    wanted = set(terms)
    counts: list[dict[str, int]] = []
    for text in texts:
        words = tokenizer.terms(text.decode())
        counts.append({term: words.count(term) for term in wanted.intersection(words)})
    return counts


def _count_in_block(texts: Sequence[bytes], terms: Iterable[str]) -> list[dict[str, int]]:
    """Search one string of all texts: Python code per text would cost more than the search."""
    forms = [text if text.isascii() else index_form(text.decode()).encode() for text in texts]
    block = ascii_form(b" " + b" ".join(forms) + b" ")
    starts = np.cumsum([0, *(len(form) + 1 for form in forms)])
    counts: list[dict[str, int]] = [{} for _ in texts]
    for term in terms:
        word = f" {term} ".encode()
        places = []
        place = block.find(word)
        while place >= 0:
            places.append(place)
            # The space after a word is the one before the next word.
            place = block.find(word, place + len(word) - 1)
        for number in (np.searchsorted(starts, places, side="right") - 1).tolist():
            counts[number][term] = counts[number].get(term, 0) + 1
    return counts
