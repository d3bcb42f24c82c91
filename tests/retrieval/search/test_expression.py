"""Row 17: a text that resembles a sum is one, or is refused with the position."""

import tarfile
from pathlib import Path

import pytest

from retrieval.errors import QueryError
from retrieval.search.expression import Summand, parse_sum
from retrieval.search.query import Term, parse_query


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paths").mkdir()
    for name in ("owl.jpg", "paths/with space.jpg", "a + b.png", "it's -1.png", "plain"):
        (tmp_path / name).write_bytes(b"x")
    with tarfile.open(tmp_path / "some.tar", "w") as tar:
        tar.add("owl.jpg", "in/an owl.jpg")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "summands"),
    [
        ("@paths/with space.jpg", [Summand(1, path="paths/with space.jpg")]),
        (" @paths/with space.jpg ", [Summand(1, path="paths/with space.jpg")]),
        ("@a + b.png", [Summand(1, path="a + b.png")]),
        ("@it's -1.png", [Summand(1, path="it's -1.png")]),
        ("@plain", [Summand(1, path="plain")]),
        (
            '"cat" - 2*@paths/with space.jpg + @owl.jpg',
            [
                Summand(1, text="cat"),
                Summand(-2, path="paths/with space.jpg"),
                Summand(1, path="owl.jpg"),
            ],
        ),
        ("@a + b.png + @owl.jpg", [Summand(1, path="a + b.png"), Summand(1, path="owl.jpg")]),
        ("@some.tar!in/an owl.jpg", [Summand(1, path="some.tar!in/an owl.jpg")]),
        (
            '@some.tar!in/an owl.jpg + "x"',
            [Summand(1, path="some.tar!in/an owl.jpg"), Summand(1, text="x")],
        ),
    ],
)
def test_field_17_a_file_that_exists_is_that_file(
    files: Path, text: str, summands: list[Summand]
) -> None:
    assert parse_sum(text) == summands


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("cat + @owl.jpg", 1),
        ("cat @owl.jpg", 1),
        ("cat @plain", 1),
        ("@owl.jpg cat", 10),
        ("@owl.jpg + cat", 12),
        ('"cat" - dog', 9),
        ('"cat"-dog', 7),
        ('"cat" +', 8),
        ('"cat" + + "dog"', 9),
        ('"cat" * 2', 7),
        ('"cat" − "dog"', 7),
        ('"cat" + "dog', 9),
        ('0,5*"cat"', 2),
        ('half*"cat"', 1),
        ('"cat" + 2*', 11),
        ('"cat" + 1e*"dog"', 10),
        ('2*("cat" + "dog")', 3),
        ("'cat' + 'dog'", 1),
        ("“cat” + “dog”", 1),
        ("@nowhere else.jpg", 10),
        ("@no/where else", 11),
    ],
)
def test_field_17_an_invalid_sum_is_refused_at_its_position(
    files: Path, text: str, position: int
) -> None:
    with pytest.raises(QueryError, match=f"at character {position} expected ") as caught:
        parse_query(text)
    # The advice, followed, searches for the text itself.
    advised = str(caught.value).split("write ", 1)[1]
    assert parse_query(advised).terms == (Term(text=text),)


@pytest.mark.parametrize(
    "text",
    [
        "sci-fi - night",
        "black + white",
        "it's 'ok' - really",
        'song "Yesterday" live',
        '"Yesterday" "Help!"',
        '**"bold"**',
        "@ansel adams, a mountain",
        "write to me@owl.jpg",
        "- a list\n- of things",
        "2 * 3 = 6",
    ],
)
def test_field_17_plain_texts_stay_texts(files: Path, text: str) -> None:
    assert parse_sum(text) is None


@pytest.mark.parametrize(
    "text", ["“" * 99_999, '"' * 99_999, "@a" + " " * 99_000 + "b", '" +' * 30_000, "' " * 49_000]
)
def test_field_17_long_texts_are_read_in_linear_time(text: str) -> None:
    try:
        assert parse_query(text).terms
    except QueryError as error:
        assert "looks like a sum" in str(error)  # noqa: PT017  # either answer is legal here
