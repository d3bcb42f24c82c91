"""Two hundred hostile queries: words and vectors answer, or one line refuses the query."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from retrieval.errors import QueryError
from retrieval.search.query import MAX_QUERY_CHARS, Query
from retrieval.texts.opening import open_texts
from retrieval.texts.word_query import WordQuery
from support.texts import TextCollection, caption, collection_of, cue, name

PIECES = [
    '"', "“", "”", "'", "-", "+", "*", "(", ")", "[", "]", "{", "}", ":", "^", "~", "?", "\\", "/",
    "AND", "OR", "NOT", "IN", "TO", "text:", "row:5", "caption:", "a AND", "\0", "\x1b", "\n", "\t",
    "…", "harbour", "-harbour", '"old harbour"', "the", "of", "🎉", "👩‍👩‍👧", "❤️", "שלום", "مرحبا",
    "\u202e", "\ufeff", "東京", "-東京", "กรุงเทพ", "e\u0301" * 20, "\u0300" * 50, "ß", "ﬁ", "İ",
    "1e999",
    "0" * 40, "x" * 300, "-", "--", "- -", "-\"", "\"-", "AND OR NOT", "*:*", "/.*/", "[a TO z]",
    "harbour~2", "harbour^9", "NULL", "; DROP TABLE texts", "{{7*7}}", "%s%n", "<mark>", "𝕳𝖆𝖗𝖇𝖔𝖚𝖗",
]  # fmt: skip
SPECIAL = [
    "", " ", "\0", '"', '""', "the of a", "harbour " * 12_000, "x" * 1_000_000,
    "harbour " * 125_000,
    '"' * 99_999, '" ' * 49_000, "“ " * 49_000, "-a " * 33_000, "\ud800", "a \udfff b",
    "東" * 99_999, "ก" * 50_000, "\u0301" * 99_000, " - ".join("ab" * 50), "é" * 50_000,
]  # fmt: skip


def hostile_queries() -> list[str]:
    rng = random.Random(0)
    mixed = [
        rng.choice(["", " "]).join(rng.choices(PIECES, k=rng.randint(1, 9)))
        for _ in range(200 - len(SPECIAL) - len(PIECES))
    ]
    return [*SPECIAL, *PIECES, *mixed]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> TextCollection:
    items = [[name("harbour")], [cue(0, 1, "the old harbour")], [caption("東京 กรุงเทพ ß שלום")]]
    collection = collection_of(tmp_path_factory.mktemp("texts") / "c", *items)
    collection.index()
    return collection


def test_fault_31_words_of_hostile_queries_never_raise(texts: TextCollection) -> None:
    matcher = open_texts(texts.snapshot)
    assert matcher is not None
    queries = hostile_queries()
    assert len(queries) == 200
    for text in queries:
        for words in (WordQuery.parse(text), WordQuery(text, (text,), (text,))):
            for keep_unlikely in (False, True):
                terms = matcher.terms(words, keep_unlikely=keep_unlikely)
                query = matcher.query(terms, matcher.statistics(terms), keep_unlikely=keep_unlikely)
                query.find(10, lambda ids: ids >= 0)
            for phrase in (*words.phrases, *words.excluded):
                matcher.items_with(phrase)


def test_fault_31_hostile_queries_are_answered_or_refused_in_one_line(
    texts: TextCollection,
) -> None:
    refused = []
    for text in hostile_queries():
        for mode, literal in (("auto", False), ("only", False), ("only", True)):
            try:
                hits = texts.search(Query.of_text(text) if literal else text, text=mode)
            except QueryError as error:
                refused.append((text, str(error)))
            else:
                assert all(hit.matched is None or hit.matched.text for hit in hits)
    assert not any("\n" in message for _, message in refused)
    # Refused are empty queries, invalid Unicode, too long ones, and what looks like a sum.
    for text in {text for text, _ in refused}:
        is_empty = not text.strip()
        is_long = len(text) > MAX_QUERY_CHARS
        assert is_empty or is_long or "\ud800" in text or "\udfff" in text or set(text) & set('"“')


def test_a_word_is_found_among_hostile_ones(texts: TextCollection, tmp_path: Path) -> None:
    for text in ("harbour AND", "harbour~2", "harbour^9", "(harbour", "𝕳𝖆𝖗𝖇𝖔𝖚𝖗", "HARBOUR\0"):
        assert {hit.item_id for hit in texts.search(text, text="only")} == {0, 1}, text
