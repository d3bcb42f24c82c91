import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.datasets.dataset import DataSet
from benchmarks.moments.suite import MomentSuite, video_files
from retrieval.errors import SourceError

DATA = DataSet(
    title="A set", task="moment", size="two", licence="none", source="nowhere",
    files=("val.jsonl", "videos/"),
)  # fmt: skip


def line(**more: object) -> str:
    row = {"qid": 1, "vid": "a", "query": "b", "duration": 9, "relevant_windows": [[1, 2]]}
    return json.dumps(row | more) + "\n"


def test_the_first_file_that_is_there_is_read(tmp_path: Path) -> None:
    data_set = replace(DATA, alternatives=("other.jsonl",))
    suite = MomentSuite(
        name="s", summary="", data_set=data_set, training_files=("train.jsonl", "more.jsonl")
    )
    assert data_set.missing(tmp_path) == ["val.jsonl", "videos/"]
    with pytest.raises(SourceError, match=r"A set: .* lacks val\.jsonl or other\.jsonl; it comes"):
        suite.queries(tmp_path)
    (tmp_path / "other.jsonl").write_text(line(qid="other"))
    assert data_set.missing(tmp_path) == ["videos/"]
    assert [one.query_id for one in suite.queries(tmp_path).test] == ["other"]
    (tmp_path / "val.jsonl").write_text(line(qid="val"))
    (tmp_path / "more.jsonl").write_text(line(qid="more"))
    queries = suite.queries(tmp_path)
    assert [one.query_id for one in queries.test] == ["val"]
    assert [one.query_id for one in queries.training] == ["more"]


def test_a_file_without_queries_or_lengths_fails(tmp_path: Path) -> None:
    suite = MomentSuite(name="s", summary="", data_set=replace(DATA, alternatives=("text.txt",)))
    (tmp_path / "val.jsonl").write_text("\n")
    with pytest.raises(SourceError, match=r"val\.jsonl holds no query with a moment"):
        suite.queries(tmp_path)
    (tmp_path / "val.jsonl").unlink()
    (tmp_path / "text.txt").write_text("a 1 2##b\n")
    with pytest.raises(SourceError, match="holds no duration of a"):
        suite.queries(tmp_path)


def test_videos_are_found_by_their_ids(tmp_path: Path) -> None:
    for name in ("a.mp4", "deeper/b_0.0_150.0.mkv", "c.mov", "d.avi.mp4", "e.txt", "f_360.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    ids = ["a", "b_0.0_150.0", "c.avi", "d.avi", "e", "f_360.0", "g"]
    found = {key: path.name for key, path in video_files(tmp_path, ids).items()}
    assert found == {
        "a": "a.mp4", "b_0.0_150.0": "b_0.0_150.0.mkv", "c.avi": "c.mov", "d.avi": "d.avi.mp4"
    }  # fmt: skip
    assert video_files(tmp_path / "nowhere", ids) == {}


def test_a_video_of_two_ids_fails(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    with pytest.raises(SourceError, match=r"a\.mp4 matches several videos of the data set"):
        video_files(tmp_path, ["a.mov", "a.avi"])
