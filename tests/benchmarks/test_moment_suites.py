"""Every suite of moments: its official format in miniature, its real counts and blind floors."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.moments.suite import MomentSuite
from benchmarks.results.outcome import Outcome
from benchmarks.suites import SUITES, takes_localizer
from retrieval.errors import QueryError, SourceError
from tests.support.commands import run

MODULES = ("qvhighlights", "charades", "tacos", "activitynet_moments", "tvr", "didemo_moments")


def suite(module: str) -> MomentSuite:
    found = importlib.import_module(f"benchmarks.suites.{module}").SUITE
    assert isinstance(found, MomentSuite)
    return found


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


COMMON = lines(
    {"qid": 5, "query": "a ball", "duration": 20, "vid": "a", "relevant_windows": [[2, 8]]},
    {"qid": 6, "query": "a cat", "duration": 20, "vid": "a", "relevant_windows": [[0, 4], [9, 20]]},
    {"qid": 9, "query": "a dog", "duration": 30, "vid": "b", "relevant_windows": [[0, 15]]},
)
SENTENCES = {"duration": 20, "timestamps": [[2, 8], [20, 9]], "sentences": ["a ball", " a cat"]}
OFFICIAL = [  # module, files, ids of the queries
    ("qvhighlights", {"highlight_val_release.jsonl": COMMON}, ["5", "6", "9"]),
    ("charades", {"charades_test_release.jsonl": COMMON}, ["5", "6", "9"]),
    (
        "charades",
        {
            "charades_sta_test.txt": "a 2.0 8.0##a ball.\nb 0.0 15.0##a dog.\n",
            "Charades_v1_test.csv": "id,script,length\na,x,20.0\nb,y,30.0\n",
        },
        ["0", "1"],
    ),
    ("tacos", {"tacos_test_release.jsonl": COMMON}, ["5", "6", "9"]),
    (
        "tacos",
        {
            "test.json": json.dumps({
                "a.avi": {"timestamps": [[50, 200]], "sentences": ["a ball"], "fps": 25.0,
                          "num_frames": 500}
            })
        },
        ["a_0"],
    ),
    ("activitynet_moments", {"val_1.json": json.dumps({"a": SENTENCES})}, ["a_0", "a_1"]),
    ("activitynet_moments", {"activitynet_val_release.jsonl": COMMON}, ["5", "6", "9"]),
    (
        "tvr",
        {
            "tvr_val_release.jsonl": lines(
                {"vid_name": "a", "duration": 20.0, "ts": [2, 8], "desc": "a ball", "type": "v",
                 "desc_id": 90200}
            )
        },
        ["90200"],
    ),
    (
        "didemo_moments",
        {
            "test_data.json": json.dumps([
                {"video": "a.mov", "description": "a ball", "annotation_id": 3, "num_segments": 5,
                 "times": [[0, 0], [1, 1], [1, 1], [1, 4]], "dl_link": ""}
            ])
        },
        ["3"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("module", "files", "ids"), OFFICIAL)
def test_the_official_format_is_read(
    tmp_path: Path, module: str, files: dict[str, str], ids: list[str]
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    asked = suite(module).questions(tmp_path).asked
    assert [one.query_id for one in asked] == ids
    assert asked[0].duration_seconds in (20.0, 25.0)
    assert asked[0].windows in (((2.0, 8.0),), ((5.0, 10.0),))
    assert asked[0].query.startswith("a ball")


@pytest.mark.parametrize("module", MODULES)
def test_a_missing_file_is_named_with_its_source_fails(tmp_path: Path, module: str) -> None:
    with pytest.raises(SourceError, match=r"lacks .*release\.jsonl|lacks \w+_data\.json") as error:
        suite(module).run(say=print, folder=tmp_path, data=tmp_path)
    assert "it comes from" in str(error.value)


def test_charades_text_needs_the_table_of_lengths_fails(tmp_path: Path) -> None:
    (tmp_path / "charades_sta_test.txt").write_text("a 2.0 8.0##a ball.\n")
    with pytest.raises(SourceError, match=r"put Charades_v1_test\.csv, of Charades, beside it"):
        suite("charades").questions(tmp_path)
    for table in ("id,length\nb,30.0\n", "id,length\na,long\n"):
        (tmp_path / "Charades_v1_test.csv").write_text(table)
        with pytest.raises(SourceError, match="does not tell how long a is"):
            suite("charades").questions(tmp_path)


def test_listing_suites_loads_nothing_heavy() -> None:
    names = ", ".join(f"benchmarks.suites.{module}" for module in MODULES)
    code = f"import sys, {names}; print({{'torch', 'faiss', 'av', 'duckdb'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# ---------------------------------------------------------------- real annotations

REAL = [  # module, its files, queries, videos, windows, as published (see docs)
    ("qvhighlights", ["qvhighlights/highlight_val_release.jsonl",
                      "lighthouse/highlight_train_release.jsonl"], 1_550, 1_519, 2_803),
    ("charades", ["lighthouse/charades_test_release.jsonl",
                  "lighthouse/charades_train_release.jsonl"], 3_720, 1_334, 3_720),
    ("tacos", ["lighthouse/tacos_test_release.jsonl",
               "lighthouse/tacos_train_release.jsonl"], 4_001, 25, 4_001),
    ("activitynet_moments", ["lighthouse/activitynet_val_release.jsonl"], 17_505, 4_917, 17_505),
    ("tvr", ["tvr/tvr_val_release.jsonl"], 10_895, 2_179, 10_895),
    ("didemo_moments", ["didemo/test_data.json"], 4_021, 1_037, 4_333),
]  # fmt: skip


@pytest.fixture
def linked(real_data: Path, tmp_path: Path) -> Callable[[list[str]], Path]:
    """Gathers the real files of a suite in a folder, as `--data` wants them."""

    def link(files: list[str]) -> Path:
        for file in files:
            (tmp_path / Path(file).name).symlink_to(real_data / "annotations" / file)
        return tmp_path

    return link


@pytest.mark.parametrize(("module", "files", "queries", "videos", "windows"), REAL)
def test_counts_are_those_of_the_data_set(
    linked: Callable[[list[str]], Path],
    module: str,
    files: list[str],
    queries: int,
    videos: int,
    windows: int,
) -> None:
    asked = suite(module).questions(linked(files)).asked
    assert len(asked) == queries
    assert len({one.query_id for one in asked}) == queries
    assert len({one.video_id for one in asked}) == videos
    assert sum(len(one.windows) for one in asked) == windows
    size = suite(module).data_set.size
    assert f"{queries:,} queries" in size
    assert f"{videos:,} videos" in size


FLOORS = [  # module, R1@0.5, R1@0.7 in per cent
    ("qvhighlights", 13.55, 2.90),
    ("charades", 30.65, 15.16),
    ("tacos", 3.10, 1.12),
    ("activitynet_moments", 27.39, 10.02),
]


@pytest.mark.parametrize(("module", "half", "strict"), FLOORS)
def test_blind_floors_are_the_known_ones(
    linked: Callable[[list[str]], Path], tmp_path: Path, module: str, half: float, strict: float
) -> None:
    files = next(files for name, files, *_ in REAL if name == module)
    said: list[str] = []
    outcome = suite(module).run(say=said.append, folder=tmp_path / "out", data=linked(files))
    assert isinstance(outcome, Outcome)
    found = [round(100 * (row.value or 0), 2) for row in outcome.results[:2]]
    assert found == [half, strict]
    assert "constant window" in outcome.results[0].task
    assert said[0].endswith("blind floors only")
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- the command


def test_the_command_prints_the_floors_where_there_are_annotations_only(tmp_path: Path) -> None:
    (tmp_path / "tacos").mkdir()
    (tmp_path / "tacos/tacos_test_release.jsonl").write_text(COMMON)
    document = json.loads(run("bench", "run", "tacos", "--data", tmp_path, "--format", "json"))
    blind, whole = document["queries"]
    assert blind["task"].startswith("moment in the true video, constant window ")
    assert whole["task"] == "moment in the true video, whole video"
    assert whole["ids"] == ["5", "6", "9"]
    assert whole["values"]["mIoU"] == pytest.approx([0.3, 0.55, 0.5])
    assert [row["value"] for row in document["results"] if row["task"] == whole["task"]] == [
        pytest.approx(2 / 3), 0.0, pytest.approx(0.45)
    ]  # fmt: skip


def test_a_localizer_is_for_suites_of_moments_fails(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="clotho asks for no moments"):
        run("bench", "run", "clotho", "--data", tmp_path, "--localizer", "similarity")
    assert [name for name in SUITES if takes_localizer(name)] == [
        "qvhighlights", "charades", "tacos", "activitynet-moments", "tvr", "didemo-moments"
    ]  # fmt: skip
