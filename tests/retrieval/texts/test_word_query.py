"""Phrases and excluded words of a text query."""

import pytest

from retrieval.errors import QueryError
from retrieval.search.query import Query, Term, parse_query
from retrieval.texts.common_words import common_words
from retrieval.texts.word_query import WordQuery


@pytest.mark.parametrize(
    ("text", "words", "phrases", "excluded"),
    [
        ('dog "new york" -beach', "dog new york", ["new york"], ["beach"]),
        ('"new york" -beach', "new york", ["new york"], ["beach"]),
        ("“old town” sea", "old town sea", ["old town"], []),
        ('song "Yesterday" live', "song Yesterday live", ["Yesterday"], []),
        ("t-shirt -red -東京", "t-shirt", [], ["red", "東京"]),
        ("sci-fi - night", "sci-fi - night", [], []),
        ("-beach", "-beach", [], []),
        ('5" screen 3" deep', '5" screen 3" deep', [], []),
        ('a "', 'a "', [], []),
        ('"" dog', '"" dog', [], []),
    ],
)
def test_operators(text: str, words: str, phrases: list[str], excluded: list[str]) -> None:
    query = parse_query(text).words
    assert query is not None
    assert (query.words, list(query.phrases), list(query.excluded)) == (words, phrases, excluded)
    assert query.restricts_vectors == bool(phrases or excluded)


def test_sums_and_files_have_no_words() -> None:
    for text in ('"cat" - "dog"', '"a horse" + @x.png', '2*"cat"', '- "cat"', "@x.png"):
        assert parse_query(text).words is None
    with pytest.raises(QueryError, match="looks like a sum"):
        parse_query('"cat" - dog')


def test_one_quoted_text_is_a_phrase_and_does_not_restrict_vectors() -> None:
    query = parse_query('"a - b"')
    assert query.terms == (Term(text="a - b"),)
    assert query.words == WordQuery("a - b", phrases=("a - b",))


def test_a_literal_text_has_no_operators() -> None:
    assert Query.of_text('dog -"beach"').words == WordQuery('dog -"beach"')


def test_common_words_follow_the_language_of_the_query() -> None:
    assert common_words("a photo of the war on tv") == {"a", "photo", "of", "the", "on"}
    assert common_words("der Hund war für das Haus") == {"der", "war", "fur", "das"}
    assert common_words("a dog on the beach 7 x") == {"a", "on", "the", "x"}
    assert common_words("Hund und Haus", "de") == {"und"}
