"""Folding and splitting of words, and their places in the original text."""

import random
import unicodedata

import pytest

from retrieval.texts.folding import fold, index_form, located_words, query_words
from retrieval.texts.tokenizer import Tokenizer, language_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The CAT's hat, IMG_2024", "the cat s hat img 2024"),
        ("Straße CAFÉ naïve", "strasse cafe naive"),
        ("ﬁne Œuvre Łódź Ærø", "fine oeuvre lodz aero"),
        ("e\u0301tude étude", "etude etude"),
        ("東京都abc", "東 東京 京 京都 都 abc"),
        ("が か\u3099", "が が"),
        ("ﾊﾞﾅ", "バ バナ ナ"),
        ("ที่นี่", "ที่ ที่นี่ นี่"),
        ("학교", "학 학교 교"),
        ("क्या हाल", "क्या हाल"),
        ("שָׁלוֹם مُحَمَّد", "שלום محمد"),
        ("soft\u00adhyphen", "softhyphen"),
        ("ＡＢＣ １２", "abc 12"),
        ("🎉 …", ""),
    ],
)
def test_words_are_folded_and_split(text: str, words: str) -> None:
    assert index_form(text).split() == words.split()
    assert [word.text for word in located_words(text)] == words.split()


def test_every_word_is_the_folded_form_of_its_place() -> None:
    rng = random.Random(0)
    pool = [
        chr(code)
        for code in range(0x3400)
        if unicodedata.category(chr(code)) not in ("Cn", "Cs") and not 0x1100 <= code < 0x1200
    ]
    pool += list("abc ßéﬁ東京ไทยกำ가각\U00020000🎉")
    for _ in range(2_000):
        text = "".join(rng.choices(pool, k=rng.randint(1, 12)))
        words = list(located_words(text))
        assert [word.text for word in words] == index_form(text).split(), repr(text)
        for word in words:
            assert word.text in fold(text[word.start : word.end]), repr(text)


def test_the_places_of_folded_words_are_code_points_of_the_original() -> None:
    text = "Die Straße, ﬁne 東京都"
    places = {word.text: text[word.start : word.end] for word in located_words(text)}
    assert places["strasse"] == "Straße"
    assert places["fine"] == "ﬁne"
    assert places["京都"] == "京都"


def test_a_query_uses_pairs_of_characters_and_single_ones_where_alone() -> None:
    assert query_words("東京都 猫 abc") == ["東京", "京都", "猫", "abc"]


def test_terms_are_stemmed_in_the_language_of_the_index() -> None:
    assert Tokenizer("en").terms("Running houses") == ["run", "hous"]
    assert Tokenizer(language_of("german")).query_terms("Häuser") == Tokenizer("de").terms("haus")
    assert Tokenizer().terms("Running " + "x" * 300) == ["running"]
    located = list(Tokenizer("en").located_terms("the RUNNING dogs"))
    assert [(word.text, word.start, word.end) for word in located] == [
        ("the", 0, 3), ("run", 4, 11), ("dog", 12, 16),
    ]  # fmt: skip
