"""`retrieval search --rerank` as people type it, on the bundled models."""

import json

import pytest
from typer.testing import CliRunner

from cli.main import app
from retrieval.collection import Collection
from retrieval.errors import QueryError, UnknownModelError


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["search", *(str(argument) for argument in arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_search_is_re_ranked(indexed: Collection) -> None:
    asked = (indexed.root, "a red circle", "--to", "image", "-k", 5, "--format", "json")
    found = json.loads(run(*asked, "--rerank", "tiny", "--rerank-top", 8))
    scores = [hit["score"] for hit in found["hits"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert all(hit["first_stage_score"] is not None for hit in found["hits"])
    assert found["took_ms"]["rerank"] > 0
    plain = json.loads(run(*asked))
    assert "first_stage_score" not in plain["hits"][0]
    assert "rerank" not in plain["took_ms"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("a star", "--rerank", "huge"), UnknownModelError, "unknown re-ranker 'huge'"),
        (('"a" + "b"', "--rerank", "tiny"), QueryError, "re-ranking needs a single text"),
        (("a", "--rerank", "tiny", "--rerank-top", "0"), QueryError, "rerank_top must be"),
    ],
)
def test_what_cannot_be_re_ranked_fails(
    indexed: Collection,
    arguments: tuple[str, ...],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        run(indexed.root, *arguments)
