"""Every suite of moments: its official format in miniature, its real counts and blind floors."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.moments.suite import MomentSuite
from benchmarks.runner import run_suite
from benchmarks.suite import RunOptions
from benchmarks.suites import SUITES
from retrieval.errors import QueryError, SourceError
from tests.support.commands import run
from tests.support.messages import logged

NAMES = ("qvhighlights", "charades", "tacos", "activitynet-moments", "tvr", "didemo-moments")


def suite(name: str) -> MomentSuite:
    found = SUITES[name]
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
    ("activitynet-moments", {"val_1.json": json.dumps({"a": SENTENCES})}, ["a_0", "a_1"]),
    ("activitynet-moments", {"activitynet_val_release.jsonl": COMMON}, ["5", "6", "9"]),
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
        "didemo-moments",
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
    asked = suite(module).queries(tmp_path).test
    assert [one.query_id for one in asked] == ids
    assert asked[0].duration_seconds in (20.0, 25.0)
    assert asked[0].windows in (((2.0, 8.0),), ((5.0, 10.0),))
    assert asked[0].query.startswith("a ball")


@pytest.mark.parametrize("module", NAMES)
def test_a_missing_file_fails_with_its_source(tmp_path: Path, module: str) -> None:
    with pytest.raises(SourceError, match=r"lacks .*release\.jsonl|lacks \w+_data\.json") as error:
        suite(module).queries(tmp_path)
    assert "it comes from" in str(error.value)


def test_charades_text_needs_the_table_of_lengths_fails(tmp_path: Path) -> None:
    (tmp_path / "charades_sta_test.txt").write_text("a 2.0 8.0##a ball.\n")
    with pytest.raises(
        SourceError, match=r"holds no durations; put Charades_v1_test\.csv of Charades"
    ):
        suite("charades").queries(tmp_path)
    for table in ("id,length\nb,30.0\n", "id,length\na,long\n"):
        (tmp_path / "Charades_v1_test.csv").write_text(table)
        with pytest.raises(SourceError, match="holds no duration of a"):
            suite("charades").queries(tmp_path)


def test_listing_suites_loads_nothing_heavy() -> None:
    heavy = {"torch", "faiss", "av", "duckdb", "matplotlib"}
    code = f"import sys, benchmarks.suites, benchmarks.speed; print({heavy} & set(sys.modules))"
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
    ("activitynet-moments", ["lighthouse/activitynet_val_release.jsonl"], 17_505, 4_917, 17_505),
    ("tvr", ["tvr/tvr_val_release.jsonl"], 10_895, 2_179, 10_895),
    ("didemo-moments", ["didemo/test_data.json"], 4_021, 1_037, 4_333),
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
    asked = suite(module).queries(linked(files)).test
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
    ("activitynet-moments", 27.39, 10.02),
]


@pytest.mark.parametrize(("module", "half", "strict"), FLOORS)
def test_blind_floors_are_the_known_ones(
    linked: Callable[[list[str]], Path], tmp_path: Path, module: str, half: float, strict: float
) -> None:
    files = next(files for name, files, *_ in REAL if name == module)
    options = RunOptions(folder=tmp_path / "out", data_folder=linked(files))
    with logged("benchmarks") as messages:
        outcome = run_suite(suite(module), options)
    found = [round(100 * (row.value or 0), 2) for row in outcome.results[:2]]
    assert found == [half, strict]
    assert "constant window" in outcome.results[0].task
    assert messages[0].endswith("blind floors only")
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- the command


def test_the_command_prints_the_floors_without_videos(tmp_path: Path) -> None:
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


def test_a_localizer_for_a_ranking_suite_fails(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="clotho measures no localizer"):
        run("bench", "run", "clotho", "--data", tmp_path, "--localizer", "similarity")
    assert [name for name, each in SUITES.items() if each.takes_localizer] == list(NAMES)
