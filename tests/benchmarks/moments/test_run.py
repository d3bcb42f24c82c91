"""A whole run of a suite of moments, on a miniature of TVR with videos made here."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from benchmarks.results.outcome import MomentAnswer, Outcome
from benchmarks.runner import run_suite
from benchmarks.suite import RunOptions
from benchmarks.suites import qvhighlights, tvr
from retrieval.errors import SourceError
from support.media_files import write_video
from support.messages import logged

LOCALIZERS = ("Hammer", "similarity")  # the package brings a Hammer for the model `tiny`
QUERIES = [  # video, seconds, what is asked
    ("a", (0.0, 3.0), "a red sky"),
    ("a", (4.0, 6.0), "a blue sky"),
    ("b", (0.0, 6.0), "a green sky"),
    ("broken", (0.0, 1.0), "a star"),
    ("missing", (0.0, 1.0), "a circle"),
]


def colour(*rgb: int) -> np.ndarray:
    return np.broadcast_to(np.array(rgb, np.uint8), (48, 64, 3)).copy()


def write_data(folder: Path) -> Path:
    """Annotations as TVR has them, two whole videos and a broken one."""
    (folder / "videos" / "deeper").mkdir(parents=True)
    write_video(
        folder / "videos/a.mp4", [colour(200, 0, 0)] * 15 + [colour(0, 0, 200)] * 15, rate=5
    )
    write_video(folder / "videos/deeper/b.mkv", [colour(0, 150, 0)] * 30, rate=5)
    (folder / "videos/broken.mp4").write_bytes(b"<html>")
    rows = [
        {"desc_id": number, "vid_name": video, "ts": span, "desc": text, "duration": 6.0}
        for number, (video, span, text) in enumerate(QUERIES)
    ]
    (folder / "tvr_val_release.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def run_tvr(folder: Path, data: Path, scale: float = 1.0) -> Outcome:
    options = RunOptions(folder=folder, data_folder=data, models=("tiny",), scale=scale)
    return run_suite(tvr.SUITE, options)


@dataclass(frozen=True)
class Ran:
    data: Path
    folder: Path
    outcome: Outcome
    messages: list[str]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    data = write_data(tmp_path_factory.mktemp("tvr"))
    folder = tmp_path_factory.mktemp("out")
    with logged("benchmarks") as messages:
        outcome = run_tvr(folder, data)
    return Ran(data, folder, outcome, messages)


def test_every_task_has_its_rows(ran: Ran) -> None:
    rows = {(row.task, row.metric): row for row in ran.outcome.results}
    tasks = list(dict.fromkeys(row.task for row in ran.outcome.results))
    corpus = [
        f"moment in the corpus, {name}{kind}" for name in LOCALIZERS for kind in ("", ", index")
    ]
    constant = "constant window 0% to 50% (best on these queries)"
    assert set(tasks) == {
        f"moment in the true video, {constant}",
        "moment in the true video, whole video",
        f"moment in the corpus, {constant}, of videos drawn at random",
        "moment in the corpus, whole video, of videos drawn at random",
        *(f"moment in the true video, {name}" for name in LOCALIZERS),
        *corpus,
        "video in the corpus",
        "video in the corpus, index",
        "moment in the corpus, XML, test split",
        "moment in the corpus, HERO, test split",
    }
    blind = rows[f"moment in the true video, {constant}", "R1@0.5"]
    assert (blind.value, blind.pool) == (pytest.approx(2 / 3), 3)
    assert rows["moment in the true video, whole video", "mIoU"].value == pytest.approx(
        (1 / 2 + 1 / 3 + 1) / 3
    )
    for name in LOCALIZERS:
        assert rows[f"moment in the true video, {name}", "R1@0.5"].baseline == blind.value
    for task in corpus:
        assert rows[task, "R@100, IoU 0.5"].pool == 2
        assert rows[task, "R@1, IoU 0.5"].baseline == pytest.approx(2 / 3 / 2)
    video = rows["video in the corpus", "R@1"]
    assert (video.chance, video.pool) == (0.5, 2)
    assert rows["video in the corpus", "R@10"].value == 1.0
    published = rows["moment in the corpus, XML, test split", "R@1, IoU 0.7"]
    assert (published.value, published.published) == (None, 0.0325)


def test_an_exact_index_finds_what_exact_search_finds(ran: Ran) -> None:
    values = {(row.task, row.metric): row.value for row in ran.outcome.results}
    for (task, metric), value in values.items():
        if task.endswith(", index"):
            assert values[task.removesuffix(", index"), metric] == value


def test_the_pool_is_logged(ran: Ran) -> None:
    assert any("broken.mp4 is left out: " in line for line in ran.messages)
    assert "tvr: 3 of 5 queries of 2 videos" in ran.messages
    assert any("not comparable" in line for line in ran.messages)


def test_figures_are_means_of_queries(ran: Ran) -> None:
    columns = {
        (values.task, metric): column
        for values in ran.outcome.queries
        for metric, column in values.values.items()
    }
    measured = [
        row
        for row in ran.outcome.results
        if row.value is not None and not row.task.endswith("drawn at random")
    ]
    assert len(columns) == len(measured)
    for row in measured:
        assert len(columns[row.task, row.metric]) == 3
        assert np.mean(columns[row.task, row.metric]) == pytest.approx(row.value)
    assert all(list(values.ids) == ["0", "1", "2"] for values in ran.outcome.queries)


def test_answers_are_moments_of_the_searched_videos(ran: Ran) -> None:
    answers = {one.task: one for one in ran.outcome.answers}
    assert set(answers) == {
        row.task
        for row in ran.outcome.results
        if row.task.endswith((*LOCALIZERS, *(f"{name}, index" for name in LOCALIZERS)))
    }
    for name in LOCALIZERS:
        for one in answers[f"moment in the true video, {name}"].answers:
            assert isinstance(one, MomentAnswer)
            assert one.moments
            assert {moment[0] for moment in one.moments} == {one.video}
        found = answers[f"moment in the corpus, {name}"]
        for one in found.answers:
            assert isinstance(one, MomentAnswer)
            assert {moment[0] for moment in one.moments} == {"a", "b"}
            assert all(0 <= start < end <= 6.5 for _, start, end, _ in one.moments)
        assert found.files["b"].name == "b.mkv"


def test_a_second_run_embeds_nothing_and_agrees(ran: Ran) -> None:
    with logged("benchmarks") as messages:
        outcome = run_tvr(ran.folder, ran.data)
    assert any(line.startswith("0 files embedded") for line in messages)
    assert outcome.results == ran.outcome.results


def test_a_collection_of_other_videos_fails(ran: Ran) -> None:
    with pytest.raises(SourceError, match="holds 1 items of another"):
        run_tvr(ran.folder, ran.data, scale=0.4)


def test_no_video_that_can_be_embedded_fails(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    (data / "videos/a.mp4").unlink()
    (data / "videos/deeper/b.mkv").unlink()
    with pytest.raises(SourceError, match="none of 1 videos could be embedded"):
        run_tvr(tmp_path / "out", data)


def test_a_query_of_several_windows_has_map_too(ran: Ran, tmp_path: Path) -> None:
    rows = [
        {
            "qid": 7,
            "vid": "a",
            "query": "a red sky",
            "duration": 6,
            "relevant_windows": [[0, 2], [2, 4]],
        }
    ]
    (tmp_path / "highlight_val_release.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/a.mp4").symlink_to(ran.data / "videos/a.mp4")
    options = RunOptions(
        folder=tmp_path / "out", data_folder=tmp_path, models=("tiny",), localizer="similarity"
    )
    outcome = run_suite(qvhighlights.SUITE, options)
    tasks = {row.task for row in outcome.results if row.value is not None}
    assert len(tasks) == 3
    assert "moment in the true video, similarity" in tasks
    metrics = [row.metric for row in outcome.results if row.task in tasks][:6]
    assert metrics == ["R1@0.5", "R1@0.7", "mIoU", "mAP@0.5", "mAP@0.75", "mAP"]
