"""Words in the names of files and folders."""

import pytest

from retrieval.media.name_words import folder_of, name_text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("IMG_2024-birthday_party.jpg", "birthday party"),
        ("IMG_20240601_123456.jpg", "2024"),
        ("PXL_20240601_123456789.MP.jpg", "2024"),
        ("VID_20200101_101010~2.mp4", "2020"),
        ("IMG-20240601-WA0003.jpg", "2024"),
        ("DSC00017.JPG", None),
        ("P1010042.JPG", None),
        ("GX010023.MP4", None),
        ("2024-12-25 christmas.jpg", "2024 christmas"),
        ("birthdayParty2019.png", "birthday Party 2019"),
        ("HTTPServerRoom.png", "HTTP Server Room"),
        ("Apollo 11 landing.mp4", "Apollo 11 landing"),
        ("01 - Gymnopédie No. 1.flac", "Gymnopédie No 1"),
        ("S01E02 The Pilot.mkv", "S01E02 The Pilot"),
        ("don't stop.mp3", "don't stop"),
        ("Cafe\u0301_de_Flore.jpg", "Café de Flore"),
        ("東京タワー.jpg", "東京タワー"),
        ("facade.jpg", "facade"),
        ("a3f9c2d1e4b5.jpg", None),
        ("3f2504e0-4f89-11d3-9a0c-0305e82c3301.jpg", None),
        ("Screenshot 2024-06-01 at 12.34.56.png", "Screenshot 2024 at"),
        ("100%25 %FF.jpg", "100"),
        ("1984.mp4", "1984"),
    ],
)
def test_a_name_gives_its_words(name: str, words: str | None) -> None:
    assert name_text(f"/a/b/{name}", "/a/b/") == words


def test_folders_below_the_given_one_count() -> None:
    uri = "/home/ann/Pictures/holiday_2019/beach/IMG_0001.jpg"
    assert name_text(uri, "/home/ann/Pictures") == "holiday 2019 / beach"
    assert name_text(uri, "/home/ann/Pictures/holiday_2019/") == "beach"
    assert name_text(uri, None) is None
    assert name_text("/data/zoo.tar!cats/black_cat.jpg", "/data") == "zoo / cats / black cat"
    assert name_text("/data/zoo.tar!in.tar!x/cat.jpg", None) == "zoo / in / x / cat"


def test_the_folder_ends_with_a_slash_and_includes_archives() -> None:
    assert folder_of("/a/beach/x.jpg") == "/a/beach/"
    assert folder_of("/x.jpg") == "/"
    assert folder_of("/a/zoo.tar!beach/x.jpg") == "/a/zoo.tar/beach/"
