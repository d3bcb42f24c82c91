"""Saved hits are what `search` printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from retrieval.errors import QueryError
from retrieval.search.hits import Hits
from retrieval.search.result_json import as_json
from retrieval.search.searcher import SearchResult, StageTimes
from retrieval.timelines.saved_hits import parse_hits, read_hits
from retrieval.types import Medium
from support.exports import hit_of

HITS = Hits(
    [
        hit_of("/a%25.mp4", 1.0, 2.5, caption="x"),
        hit_of("/b.jpg", rank=2, modality=Medium.IMAGE),
    ]
)


def saved(query: str, hits: Hits) -> str:
    return json.dumps(as_json(SearchResult(query, hits, StageTimes(1, 1, 1, 1))))


def test_results_come_back_unchanged(tmp_path: Path) -> None:
    first, second = saved("a dog", HITS), saved("a cat", HITS[:1])
    for text in (
        f"{first}\n{second}\n",
        f"[{first},{second}]",
        "\ufeff" + first + " " + json.dumps(json.loads(second), indent=2),
    ):
        path = tmp_path / "hits.json"
        path.write_text(text, encoding="utf-8")
        answers = read_hits(str(path))
        assert [answer.query for answer in answers] == ["a dog", "a cat"]
        assert answers[0].hits == tuple(HITS)
        assert answers[1].hits == tuple(HITS[:1])


def test_hits_by_words_have_no_score_and_new_fields_are_ignored() -> None:
    hit = {"uri": "/a.mp4", "modality": "video", "score": None, "space": None, "text_score": 2.0,
           "matched": {"source": "caption"}, "collection": "x"}  # fmt: skip
    (answer,) = parse_hits(json.dumps({"query": "q", "hits": [hit]}), "x")
    assert (answer.hits[0].score, answer.hits[0].space, answer.hits[0].rank) == (None, None, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uri": None}, "hit 1: expected an object with a uri"),
        ({"uri": "/a\0"}, "NUL"),
        ({"rank": 0}, "rank must be 1"),
        ({"modality": "text"}, "modality must be one of"),
        ({"start_seconds": 3.0}, "start_seconds < end_seconds"),
        ({"start_seconds": None}, "start_seconds < end_seconds"),
        ({"start_seconds": -1.0}, "0 or more"),
        ({"start_seconds": "1"}, "finite number"),
        ({"score": "high"}, "finite number"),
    ],
)
def test_a_malformed_hit_is_named(change: dict[str, object], message: str) -> None:
    document = json.loads(saved("q", HITS[:1]))
    document["hits"][0] |= change
    with pytest.raises(QueryError, match=message) as error:
        parse_hits(json.dumps(document), "hits.json")
    assert str(error.value).startswith("hits.json, result 1, hit 1: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no results"),
        ("{", "line 1: not JSON"),
        ('{"query": "a", "hits": []}\n{"query": ', "line 2: not JSON"),
        ("[1]", "result 1: expected"),
        ('{"hits": 1}', "result 1: expected"),
        ('{"query": 1, "hits": []}', "must be a string"),
        ("[" * 100_000, "nested too deeply|not JSON"),
        ('{"query": "a", "hits": [{"uri": "/a", "modality": "video", "score": NaN}]}', "finite"),
    ],
)
def test_other_json_is_refused(text: str, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        parse_hits(text, "hits.json")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes(b'{"query": "\xe9"}')
    with pytest.raises(QueryError, match="not UTF-8"):
        read_hits(str(tmp_path / "latin.json"))
    with pytest.raises(QueryError, match="No such file"):
        read_hits(str(tmp_path / "none.json"))
    with pytest.raises(QueryError, match="a folder"):
        read_hits(str(tmp_path))
