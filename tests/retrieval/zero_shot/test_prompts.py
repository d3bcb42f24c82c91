from pathlib import Path

import pytest

from retrieval.errors import QueryError
from retrieval.types import Medium
from retrieval.zero_shot.prompts import TEMPLATES, fill_templates, read_labels, read_templates


def test_labels_come_from_a_list_or_a_file(tmp_path: Path) -> None:
    assert read_labels("dog bark, rain , sea waves,") == ("dog bark", "rain", "sea waves")
    file = tmp_path / "labels.txt"
    file.write_text("\ufeffdog, barking\n\n  rain\n", encoding="utf-8")
    assert read_labels(str(file)) == ("dog, barking", "rain")


@pytest.mark.parametrize(
    ("source", "message"),
    [("dog", "1 labels, at least 2"), ("", "0 labels"), ("a, b, a", "'a' occurs 2 times")],
)
def test_too_few_and_repeated_labels_fail(source: str, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        read_labels(source)


def test_labels_that_are_not_utf8_fail(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(QueryError, match="UTF-8"):
        read_labels(str(tmp_path / "x"))


def test_built_in_templates_have_one_placeholder() -> None:
    assert set(TEMPLATES) == set(Medium)
    for sentences in TEMPLATES.values():
        assert len(set(sentences)) == len(sentences) >= 5
        assert all(sentence.count("{}") == 1 for sentence in sentences)


def test_own_templates_replace_the_built_in_ones(tmp_path: Path) -> None:
    assert read_templates([]) is TEMPLATES
    file = tmp_path / "sentences.txt"
    file.write_text("a drawing of a {}\n\n{} drawn by hand\n")
    templates = read_templates([str(file), "a {} sketch"])
    assert templates[Medium.AUDIO] == ("a drawing of a {}", "{} drawn by hand", "a {} sketch")
    assert fill_templates(templates[Medium.IMAGE], "{x}") == [
        "a drawing of a {x}", "{x} drawn by hand", "a {x} sketch",
    ]  # fmt: skip


def test_a_template_without_placeholder_fails() -> None:
    with pytest.raises(QueryError, match=r"'a drawing' has no \{\}"):
        read_templates(["a drawing"])
