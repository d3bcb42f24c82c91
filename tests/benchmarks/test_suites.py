from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.datasets.dataset import DataSet
from benchmarks.suites import (
    ASKED,
    SUITES,
    TRAINED,
    data_set,
    folder_of,
    load_module,
    reads_data,
    takes_models,
)
from tests.support.commands import run
from tests.support.small_data_sets import WRITERS


def test_every_suite_has_a_module() -> None:
    assert all(find_spec(module) is not None for module in SUITES.values())
    assert [name for name in SUITES if reads_data(name)] == [*TRAINED, *ASKED]
    assert [name for name in SUITES if takes_models(name)] == list(ASKED)
    assert data_set("demo") is None


@pytest.mark.parametrize("name", [*TRAINED, *ASKED])
def test_every_data_set_says_what_it_is(name: str) -> None:
    found = data_set(name)
    assert isinstance(found, DataSet)
    for text in (found.title, found.task, found.size, found.licence, found.source, *found.files):
        assert text == text.strip() != ""
        assert "\n" not in text
    if name in ASKED:
        module = load_module(ASKED[name])
        assert module.DATA is found
        assert callable(module.run)


def test_the_list_says_what_is_needed() -> None:
    lines = run("bench", "list").splitlines()
    assert lines[0].split()[:5] == ["run", "demo", "the", "bundled", "models"]
    (start,) = (at for at, line in enumerate(lines) if line.startswith("run clotho "))
    assert lines[start].endswith("  1,045 sounds of 15 to 30 seconds and five captions each.")
    described = dict(line.strip().split(None, 1) for line in lines[start + 1 : start + 6])
    assert list(described) == ["task", "size", "licence", "source", "files"]
    assert described["files"] == "clotho_captions_evaluation.csv, evaluation/"
    assert sum(line.startswith("run ") for line in lines) == len(SUITES)
    assert not any(line.strip().startswith("present") for line in lines)


def test_the_list_says_what_is_there(tmp_path: Path) -> None:
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
    assert list(present) == [*TRAINED, *ASKED]
    assert present.pop("clotho") == "all"
    assert present.pop("msvd") == "all but test_list.txt"
    assert set(present.values()) == {"nothing"}


def test_files_lie_in_a_folder_of_the_suite_or_in_the_folder_itself(tmp_path: Path) -> None:
    (tmp_path / "clotho").mkdir()
    assert folder_of(tmp_path, "clotho") == tmp_path / "clotho"
    assert folder_of(tmp_path, "coco") == tmp_path
    assert folder_of(tmp_path, "/elsewhere/my_suite.py") == tmp_path
