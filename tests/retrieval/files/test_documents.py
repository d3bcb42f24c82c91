from __future__ import annotations

from dataclasses import dataclass

import pytest

from retrieval.files.documents import parse_json


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    name: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    points: tuple[Point, ...]


def test_nested_dataclasses_are_parsed() -> None:
    parsed = parse_json(Line, b'{"points": [{"x": 1}, {"x": 2.5, "name": "end"}]}')
    assert parsed == Line((Point(1.0), Point(2.5, "end")))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("{", "EOF"),
        ("[" * 100_000, "recursion limit"),
        ("3", "the document"),
        ("{}", "points is missing"),
        ('{"points": [{"x": "1"}]}', r"points\.0\.x: .* got '1'"),
        ('{"points": [{"x": true}]}', r"points\.0\.x"),
        ('{"points": [{"x": 1, "y": 2}]}', r"points\.0\.y is an unknown key"),
        ('{"points": [], "more": 1}', "more is an unknown key"),
    ],
)
def test_invalid_documents_fail_in_one_line(raw: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_json(Line, raw)
    assert "\n" not in str(caught.value)
