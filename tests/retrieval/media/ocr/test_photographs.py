"""Words in real photographs, as a person reads them."""

import re
from pathlib import Path

import pytest

from retrieval.media.images.reading import read_image
from retrieval.media.ocr.engine import load_engine
from retrieval.media.ocr.reading import read_writing

WORDS = {
    "cars_1.jpg": "domingo das 7h 40 50 euz0135",
    "cars_2.jpg": "brooklyn restaurant diner american grille nyc taxi ewery ton new york 7p93c",
    "clock_1.jpg": """
        sony alarm mhz 88 92 96 100 104 108 fm am clock radio icf c218 53 60 130 170 pm""",
    "grace_hopper.bmp": "como hopper",
    "hot_dog.jpg": """
        snack nook 2890 las vegas blvd so nv 89109 702 836 8781 date 01 06 2008 sun time 10 03
        hotdog t1 tax1 total cash change clerk no 020933""",
    "missvickie_potato_chips.bmp": """
        kettle cooked potato chips missvickie s farmhouse white cheddar flavored guaranteed fresh
        until printed date no artificial preservatives or flavors made with love care net wt oz 38 9
        210 calories per pkg see nutrition information for total fat content""",
}
"""Legible words by photograph. The receipt in `hot_dog.jpg` has letters of six pixels."""

WITHOUT_WORDS = ("cat_1.jpg", "owl.jpg", "parrot.jpg", "sunflower.bmp", "lightning_1.jpg")


def words_in(path: Path) -> set[str]:
    text = read_writing(read_image(str(path)), load_engine()).text
    return set(re.findall(r"\w+", text.casefold()))


@pytest.fixture(autouse=True)
def _with_ocr() -> None:
    pytest.importorskip("rapidocr")


@pytest.mark.slow
def test_most_words_of_photographs_are_read(real_data: Path) -> None:
    expected = {(name, word) for name, text in WORDS.items() for word in text.split()}
    read = {(name, word) for name in WORDS for word in words_in(real_data / "photos" / name)}
    missing = sorted(expected - read)
    assert len(missing) <= 0.35 * len(expected), missing


@pytest.mark.slow
def test_photographs_without_words_have_none(real_data: Path) -> None:
    for name in WITHOUT_WORDS:
        assert words_in(real_data / "photos" / name) == set(), name


def test_a_label_is_read(real_data: Path) -> None:
    read = words_in(real_data / "photos" / "grace_hopper.bmp")
    assert {"como", "hopper"} <= read
