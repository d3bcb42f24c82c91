import base64
import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.results.document import read_document
from benchmarks.suite import ProgramSuite, imported
from benchmarks.suites import SUITES
from retrieval.errors import SourceError, StorageError
from support.commands import run


@pytest.fixture(autouse=True)
def suites(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("small", "failing"):
        suite = ProgramSuite(name=name, summary="", load=imported(f"support.{name}_suite"))
        monkeypatch.setitem(SUITES, name, suite)


def test_a_run_writes_its_document_answers_and_page(tmp_path: Path) -> None:
    document, runs, page = (tmp_path / name for name in ("a.json", "runs", "page.html"))
    table = run("bench", "run", "small", "--out", document, "--runs", runs, "--html", page)
    assert "| text → image | R@1 | 0.5 |" in table
    read = read_document(document)
    assert [result.value for result in read.results] == [0.5]
    assert [values.ids for values in read.queries] == [["q1", "q2"]]
    assert sorted(str(path.relative_to(runs)) for path in runs.rglob("*.*")) == [
        "small/moment-in-the-true-video.jsonl",
        "small/moment-in-the-true-video.truth.jsonl",
        "small/text-to-image.qrels",
        "small/text-to-image.run",
    ]
    assert "Results of small" in page.read_text()


def test_the_page_shows_generated_files_that_are_gone_afterwards(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    run("bench", "run", "small", "--html", page)
    shown = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page.read_text())
    picture = Image.open(io.BytesIO(base64.b64decode(shown[0])))
    assert picture.getpixel((20, 15))[0] > 200  # red, and no placeholder


def test_json_is_the_document(tmp_path: Path) -> None:
    out = tmp_path / "a.json"
    printed = run("bench", "run", "small", "--out", out, "--format", "json")
    assert json.loads(printed) == json.loads(out.read_text())


def test_what_was_measured_before_a_suite_fails_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "a.json"
    with pytest.raises(SourceError, match=r"captions\.json is missing"):
        run("bench", "run", "small", "failing", "--out", out, "--runs", tmp_path / "runs")
    assert len(read_document(out).results) == 1
    assert (tmp_path / "runs" / "small" / "text-to-image.run").exists()


@pytest.mark.parametrize("option", ["--out", "--html"])
def test_fault_07_a_file_without_a_folder_is_refused_before_any_work(
    tmp_path: Path, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.small_suite.run", lambda **options: pytest.fail("it ran"))
    with pytest.raises(StorageError, match="its folder does not exist"):
        run("bench", "run", "small", option, tmp_path / "none" / "a.json")


def test_fault_07_runs_into_a_file_are_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.small_suite.run", lambda **options: pytest.fail("it ran"))
    (tmp_path / "runs").write_text("mine")
    with pytest.raises(StorageError, match="cannot write"):
        run("bench", "run", "small", "--runs", tmp_path / "runs")
