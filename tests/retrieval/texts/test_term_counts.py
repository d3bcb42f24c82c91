"""Counting terms in many texts at once equals splitting each text into its terms."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from retrieval.texts.term_counts import count_terms
from retrieval.texts.tokenizer import Tokenizer

WORDS = [
    "boat",
    "boats",
    "Boat-house",
    "café",
    "CAFE",
    "東京湾",
    "שלום",
    "ß",
    "a",
    "a",
    "",
    "x" * 300,
]
TERMS = ["boat", "boats", "house", "cafe", "東", "東京", "שלום", "ss", "a", "oat", "absent"]


@pytest.mark.parametrize("language", [None, "en"])
@pytest.mark.parametrize("seed", range(5))
def test_counts_equal_those_of_the_tokenizer(language: str | None, seed: int) -> None:
    rng = random.Random(seed)
    tokenizer = Tokenizer(language)
    texts = [
        rng.choice([" ", ", ", "\n"]).join(rng.choices(WORDS, k=rng.randint(0, 12)))
        for _ in range(60)
    ]
    expected = []
    for text in texts:
        counts = Counter(tokenizer.terms(text))
        expected.append({term: counts[term] for term in TERMS if counts[term]})
    assert count_terms([text.encode() for text in texts], TERMS, tokenizer) == expected


def test_a_word_does_not_extend_over_two_texts() -> None:
    assert count_terms([b"old har", b"bour", b"old", b""], ["harbour", "old"], Tokenizer()) == [
        {"old": 1}, {}, {"old": 1}, {},
    ]  # fmt: skip
    assert count_terms([], ["old"], Tokenizer()) == []


def test_repeated_words_are_counted_each() -> None:
    assert count_terms([b"old old old"], ["old"], Tokenizer()) == [{"old": 3}]
