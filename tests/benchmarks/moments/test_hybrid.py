"""Moments by vectors, words and both: by hand, and on a miniature of TVR with subtitles."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.hybrid.comparison import Group
from benchmarks.moments.hybrid import HybridMoments, grouped
from benchmarks.moments.suite import TimedQuery
from benchmarks.results.outcome import MomentAnswer
from benchmarks.runner import run_suite
from benchmarks.suite import RunOptions
from benchmarks.suites import tvr
from retrieval.errors import SourceError
from retrieval.targets import TextMode
from support.media_files import write_video
from support.messages import logged

QUERY = TimedQuery("a", "file 7", ((0.0, 10.0),), 40.0, "1")
FOUND = {
    TextMode.OFF: [("b", 0.0, 10.0, 1.0), ("a", 6.0, 10.0, 0.5)],
    TextMode.ONLY: [("a", 0.0, 6.0, 1.0)],
    TextMode.AUTO: [("a", 0.0, 6.0, 1.0), ("b", 0.0, 10.0, 0.5)],
}


def test_a_moment_needs_the_video_and_the_span() -> None:
    task = HybridMoments(
        "s", {Group.WORDS: [QUERY]}, 5, "Hammer", ("R@1, IoU 0.5", "R@10, IoU 0.7")
    )
    outcome = task.measure(lambda text, mode: FOUND[mode])
    prefix = "moment in the corpus, Hammer, only words can answer: "
    assert {(row.task.removeprefix(prefix), row.metric): row.value for row in outcome.results} == {
        ("vectors only", "R@1, IoU 0.5"): 0.0, ("vectors only", "R@10, IoU 0.7"): 0.0,
        ("text only", "R@1, IoU 0.5"): 1.0, ("text only", "R@10, IoU 0.7"): 0.0,
        # The moments of b and of words have rank 1; that of vectors comes first.
        ("reciprocal rank fusion", "R@1, IoU 0.5"): 0.0,
        ("reciprocal rank fusion", "R@10, IoU 0.7"): 0.0,
        ("ours", "R@1, IoU 0.5"): 1.0, ("ours", "R@10, IoU 0.7"): 0.0,
        ("ours minus vectors only", "R@1, IoU 0.5"): 1.0,
        ("ours minus vectors only", "R@10, IoU 0.7"): 0.0,
        ("ours minus text only", "R@1, IoU 0.5"): 0.0,
        ("ours minus text only", "R@10, IoU 0.7"): 0.0,
    }  # fmt: skip
    (answers,) = outcome.answers
    assert answers.task == prefix + "ours"
    (answer,) = answers.answers
    assert isinstance(answer, MomentAnswer)
    assert answer.moments == FOUND[TextMode.AUTO]


def test_queries_without_a_group_are_left_out() -> None:
    other = TimedQuery("a", "a dog", ((0.0, 1.0),), 40.0, "2")
    assert grouped([QUERY, other], {"1": Group.BOTH}) == {
        Group.VECTORS: [], Group.MISLED: [], Group.WORDS: [], Group.BOTH: [QUERY]
    }  # fmt: skip


# ---------------------------------------------------------------- TVR

ROWS = [
    ("a", (0.0, 3.0), "a red sky", "v"),
    ("b", (1.0, 2.5), "Phoebe, telegram", "t"),
    ("a", (3.0, 6.0), "Joey sees a blue sky", "vt"),
]
SUBTITLES = [
    {"vid_name": "a", "sub": [{"text": "Joey : What a blue sky!", "start": 3.2, "end": 5.8}]},
    {"vid_name": "b", "sub": [
        {"text": "UNKNAME : (music)", "start": 0.0, "end": 0.0},
        {"text": "Phoebe : A telegram, again.", "start": 1.0, "end": 2.5},
    ]},
]  # fmt: skip


def colour(*rgb: int) -> np.ndarray:
    return np.broadcast_to(np.array(rgb, np.uint8), (48, 64, 3)).copy()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tvr")
    (folder / "videos").mkdir()
    red, blue, green = colour(200, 0, 0), colour(0, 0, 200), colour(0, 150, 0)
    write_video(folder / "videos/a.mp4", [red] * 15 + [blue] * 15, rate=5)
    write_video(folder / "videos/b.mp4", [green] * 30, rate=5)
    rows = [
        {"desc_id": number, "vid_name": video, "ts": span, "desc": text, "duration": 6.0,
         "type": kind}
        for number, (video, span, text, kind) in enumerate(ROWS)
    ]  # fmt: skip
    (folder / "tvr_val_release.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def test_subtitles_are_compared_with_vectors(data: Path, tmp_path: Path) -> None:
    subtitles = data / "tvqa_preprocessed_subtitles.jsonl"
    subtitles.write_text("\n".join(map(json.dumps, SUBTITLES)))
    options = RunOptions(
        folder=tmp_path, data_folder=data, models=("tiny",), localizer="similarity"
    )
    outcome = run_suite(tvr.SUITE, options)
    found = {(row.task, row.metric): row.value for row in outcome.results}
    prefix = "moment in the corpus, similarity, only words can answer: "
    assert found[prefix + "text only", "R@1, IoU 0.7"] == 1.0
    assert found[prefix + "ours", "R@1, IoU 0.7"] == 1.0
    prefix = "moment in the corpus, similarity, both can answer: "
    assert found[prefix + "text only", "R@1, IoU 0.7"] == 1.0
    groups = [task.task for task in outcome.queries if task.task.endswith(": ours")]
    assert len(groups) == 3
    subtitles.write_text('{"vid_name": "a"}\n')
    with pytest.raises(SourceError, match=r"subtitles\.jsonl, line 1: lacks 'sub'"):
        run_suite(tvr.SUITE, options)


def test_without_subtitles_nothing_is_compared(data: Path) -> None:
    (data / "tvqa_preprocessed_subtitles.jsonl").unlink(missing_ok=True)
    with logged("benchmarks") as messages:
        assert tvr.read_texts(data, ["a"]) is None
    assert any("vectors are not compared with subtitles" in line for line in messages)
