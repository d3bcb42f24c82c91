from pathlib import Path

import pytest

from cli.main import app
from retrieval.errors import QueryError, SourceError


def run(*arguments: str) -> None:
    app(["train", "hammer", *arguments], standalone_mode=False)


def test_annotations_without_features_fail(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="go together"):
        run("--out", str(tmp_path / "out"), "--annotations", str(tmp_path / "moments.jsonl"))
    assert not (tmp_path / "out").exists()


def test_missing_annotations_fail_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        run(
            "--out", str(tmp_path / "out"), "--annotations", str(tmp_path / "none.jsonl"),
            "--features", str(tmp_path), "--device", "cpu",
        )  # fmt: skip
    assert not (tmp_path / "out").exists()
