from inspect import signature
from pathlib import Path

import pytest

from benchmarks.datasets.dataset import DataSet
from benchmarks.moments.suite import MomentSuite
from benchmarks.ranking.suite import RankingSuite
from benchmarks.runner import OPTIONS
from benchmarks.suite import ProgramSuite
from benchmarks.suites import SUITES, data_folder_of
from tests.support.commands import run
from tests.support.small_data_sets import WRITERS

READ_DATA = [name for name, suite in SUITES.items() if suite.data_set is not None]


def test_suites_of_any_model_are_data_and_others_are_programs() -> None:
    for name, suite in SUITES.items():
        assert suite.name == name
        assert suite.summary.endswith(".")
        if isinstance(suite, ProgramSuite):
            parameters = signature(suite.load()).parameters
            assert set(parameters) <= set(OPTIONS)
            assert ("data" in parameters) == (suite.data_set is not None)
            assert not suite.takes_models
        else:
            assert isinstance(suite, RankingSuite | MomentSuite)
            assert suite.takes_models
            assert suite.takes_localizer == isinstance(suite, MomentSuite)
    assert len(READ_DATA) == len(SUITES) - 6


@pytest.mark.parametrize("name", READ_DATA)
def test_every_data_set_is_described(name: str) -> None:
    found = SUITES[name].data_set
    assert isinstance(found, DataSet)
    for text in (found.title, found.task, found.size, found.licence, found.source, *found.files):
        assert text == text.strip() != ""
        assert "\n" not in text


def test_the_list_shows_the_needed_files() -> None:
    lines = run("bench", "list").splitlines()
    assert lines[0].split()[:5] == ["run", "demo", "the", "bundled", "models"]
    (start,) = (at for at, line in enumerate(lines) if line.startswith("run clotho "))
    assert lines[start].endswith("  1,045 sounds of 15 to 30 seconds and five captions each.")
    described = dict(line.strip().split(None, 1) for line in lines[start + 1 : start + 6])
    assert list(described) == ["task", "size", "licence", "source", "files"]
    assert described["files"] == "clotho_captions_evaluation.csv, evaluation/"
    assert sum(line.startswith("run ") for line in lines) == len(SUITES)
    assert not any(line.strip().startswith("present") for line in lines)


def test_the_list_shows_the_present_files(tmp_path: Path) -> None:
    for name in ("clotho", "msvd"):
        (tmp_path / name).mkdir()
        WRITERS[name](tmp_path / name)
    (tmp_path / "msvd" / "test_list.txt").unlink()
    present = {}
    for line in run("bench", "list", "--data", tmp_path).splitlines():
        if line.startswith("run "):
            name = line.split()[1]
        elif line.strip().startswith("present"):
            present[name] = line.split(None, 1)[1]
    assert list(present) == READ_DATA
    assert present.pop("clotho") == "all"
    assert present.pop("msvd") == "all but test_list.txt"
    assert set(present.values()) == {"nothing"}


def test_files_lie_in_a_folder_of_the_suite_or_in_the_folder_itself(tmp_path: Path) -> None:
    (tmp_path / "clotho").mkdir()
    assert data_folder_of(tmp_path, "clotho") == tmp_path / "clotho"
    assert data_folder_of(tmp_path, "coco") == tmp_path
    assert data_folder_of(tmp_path, "/elsewhere/my_suite.py") == tmp_path
