import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from retrieval.collection import Collection
from retrieval.errors import QueryError


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["diff", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_switch_as_a_table_and_as_json(copied: Collection, tmp_path: Path) -> None:
    before = copied.snapshot.manifest.generation
    gone = copied.search("a red circle", text="off")[0]
    copied.remove(ids=[gone.item_id])
    queries = tmp_path / "q.jsonl"
    queries.write_text('{"qid": 1, "query": "a red circle"}\n{"qid": 2, "query": "a piano"}\n')
    sides = (f"{copied.root}@{before}", copied.root, "--queries", queries, "-k", 5)
    table = run(*sides)
    assert "2 queries, k = 5" in table
    assert "  1 →   -" in table
    document = json.loads(run(*sides, "--format", "json"))
    assert document["summary"]["queries"] == 2
    assert [query["query"] for query in document["queries"]] == ["a red circle", "a piano"]
    assert document["queries"][0]["moves"][0] == {"uri": gone.uri, "old_rank": 1, "new_rank": None}
    assert "changed most" not in run(*sides, "--most", 0)


@pytest.mark.parametrize("spaces", ["a,b,c", "a,", ""])
def test_spaces_that_are_not_one_or_two_fail(indexed: Collection, spaces: str) -> None:
    with pytest.raises(QueryError, match="one name or two"):
        run(indexed.root, indexed.root, "--spaces", spaces)
