import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from retrieval.errors import QueryError
from support.commands import run


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    predictions, truth = tmp_path / "run", tmp_path / "qrels"
    predictions.write_text("q1 Q0 a 1 0.9 ours\nq2 Q0 b 1 0.5 ours\n")
    truth.write_text("q1 0 a 1\n")
    return predictions, truth


def test_the_document_goes_to_stdout_and_remarks_to_stderr(files: tuple[Path, Path]) -> None:
    result = CliRunner().invoke(
        app, ["bench", "score", "trec", "--predictions", str(files[0]), "--truth", str(files[1])]
    )
    assert result.exit_code == 0
    assert json.loads(result.stdout)["map"] == 1.0
    assert "lacks 1 of 2 queries" in result.stderr
    assert "lacks" not in result.stdout


def test_the_table_names_every_figure(files: tuple[Path, Path]) -> None:
    out = run(
        "bench", "score", "trec", "--predictions", files[0], "--truth", files[1],
        "--format", "table",
    )  # fmt: skip
    rows = dict(line.split() for line in out.splitlines())
    assert rows["num_q"] == "1"
    assert rows["recip_rank"] == "1.0"


def test_unknown_formats_and_a_missing_truth_fail(files: tuple[Path, Path]) -> None:
    with pytest.raises(QueryError, match="no format called 'trek'; there is: qvhighlights"):
        run("bench", "score", "trek", "--predictions", files[0], "--truth", files[1])
    with pytest.raises(QueryError, match="tvr needs a truth file"):
        run("bench", "score", "tvr", "--predictions", files[0])
