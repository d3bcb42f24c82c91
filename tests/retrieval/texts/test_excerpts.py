"""Excerpts of bounded length with marks."""

import random

from retrieval.texts.excerpts import MAX_EXCERPT, excerpt, matching_spans
from retrieval.texts.tokenizer import Tokenizer

TOKENIZER = Tokenizer()


def marked(text: str, *terms: str) -> tuple[str, list[str]]:
    shown, marks = excerpt(text, matching_spans(text, set(terms), TOKENIZER))
    return shown, [shown[first:last] for first, last in marks]


def test_marks_are_the_original_words() -> None:
    assert marked("the Straße of the CAFÉ", "strasse", "cafe") == (
        "the Straße of the CAFÉ",
        ["Straße", "CAFÉ"],
    )
    assert marked("ﬁne\n\t wine ", "fine") == ("ﬁne wine", ["ﬁne"])


def test_overlapping_pairs_are_one_mark() -> None:
    assert marked("在東京都。", "東京", "京都") == ("在東京都。", ["東京都"])


def test_a_long_text_is_cut_between_words_around_most_marks() -> None:
    text = "harbour " + "lorem " * 100 + "the old harbour and the Harbour wall " + "ipsum " * 100
    shown, marks = marked(text, "harbour")
    assert marks == ["harbour", "Harbour"]
    assert shown.startswith("… ")
    assert shown.endswith(" …")
    assert "the old harbour and the Harbour wall" in shown
    assert set(shown.replace("the old harbour and the Harbour wall", "").split()) <= {
        "…",
        "lorem",
        "ipsum",
    }
    assert len(shown) <= MAX_EXCERPT + 4


def test_every_mark_is_a_term_of_the_excerpt() -> None:
    rng = random.Random(0)
    words = ["alpha", "Bêta", "gamma", "東京", "x" * 200, "\n", "  ", "ﬁn"]
    for _ in range(500):
        text = " ".join(rng.choices(words, k=rng.randint(1, 80)))
        shown, marks = excerpt(text, matching_spans(text, {"beta", "東京", "fin"}, TOKENIZER))
        assert len(shown) <= MAX_EXCERPT + 4
        assert all(shown[first:last] in ("Bêta", "東京", "ﬁn") for first, last in marks), text
        flat = [place for mark in marks for place in mark]
        assert flat == sorted(flat)
        assert marks or not {"Bêta", "東京", "ﬁn"} & set(text.split())
