import json
from pathlib import Path

import pytest

from benchmarks.moments.scoring import (
    MomentTask,
    blind_corpus_floor,
    means,
    score_in_corpus,
    score_in_video,
    score_videos,
)
from benchmarks.moments.suite import TimedQuery
from benchmarks.suites import qvhighlights

QUERIES = [
    TimedQuery("a", "a ball", ((0.0, 10.0), (20.0, 30.0)), 40.0, "1"),
    TimedQuery("b", "a cat", ((0.0, 10.0),), 20.0, "2"),
    TimedQuery("c", "a dog", ((5.0, 9.0),), 20.0, "3"),
]


def test_the_first_moment_counts_with_the_window_that_it_overlaps_most() -> None:
    found = [
        [("a", 20.0, 26.0, 0.1), ("a", 0.0, 10.0, 0.9)],  # 6 of 10 seconds of the second window
        [("b", 2.0, 10.0, 0.5)],  # 8 of 10
        [],
    ]
    values = score_in_video(QUERIES, found, with_map=False)
    assert values == {
        "R1@0.5": [1.0, 1.0, 0.0], "R1@0.7": [0.0, 1.0, 0.0],
        "mIoU": pytest.approx([0.6, 0.8, 0.0]),
    }  # fmt: skip


def test_map_is_of_all_windows() -> None:
    found = [
        [("a", 20.0, 30.0, 0.1), ("a", 0.0, 10.0, 0.9)],  # both, so all thresholds
        [("b", 12.0, 20.0, 0.9), ("b", 2.0, 10.0, 0.5)],  # second, IoU 0.8: 0.5 up to 0.8
        [("c", 5.0, 9.0, 0.1)] * 10,
    ]
    values = score_in_video(QUERIES, found, with_map=True)
    assert values["mAP@0.5"] == pytest.approx([1.0, 0.5, 1.0])
    assert values["mAP@0.75"] == pytest.approx([1.0, 0.5, 1.0])
    assert values["mAP"] == pytest.approx([1.0, 0.5 * 7 / 10, 1.0])


def test_in_a_corpus_video_and_moment_must_be_right() -> None:
    found = [
        [("b", 0.0, 10.0, 0.9), ("a", 20.0, 26.0, 0.8)],  # second, and at IoU 0.5 only
        [("b", 0.0, 9.0, 0.9)],
        [],
    ]
    values = score_in_corpus(QUERIES, found)
    assert values["R@1, IoU 0.5"] == [0.0, 1.0, 0.0]
    assert values["R@10, IoU 0.5"] == [1.0, 1.0, 0.0]
    assert values["R@100, IoU 0.7"] == [0.0, 1.0, 0.0]
    videos = score_videos(QUERIES, [["b"] * 9 + ["a"], ["b"], []])
    assert videos == {"R@1": [0, 1, 0], "R@10": [1, 1, 0], "R@100": [1, 1, 0]}


def test_blind_windows_in_videos_drawn_at_random() -> None:
    floor = blind_corpus_floor({"R1@0.5": 0.3, "R1@0.7": 0.1, "mIoU": 0.2}, 50)
    assert floor["R@1, IoU 0.5"] == pytest.approx(0.3 / 50)
    assert floor["R@10, IoU 0.7"] == pytest.approx(0.1 / 5)
    assert floor["R@100, IoU 0.5"] == pytest.approx(0.3)


def test_rows_have_their_baselines() -> None:
    task = MomentTask("suite", "task", QUERIES, 7, {"R1@0.5": 0.25}, {"mIoU": 0.5})
    found = [[("a", 20.0, 26.0, 0.1)], [("b", 2.0, 10.0, 0.5)], []]
    outcome = task.outcome(score_in_video(QUERIES, found, with_map=False), found)
    half, strict, mean = outcome.results
    assert (half.metric, half.value, half.baseline, half.pool) == (
        "R1@0.5", pytest.approx(2 / 3), 0.25, 7
    )  # fmt: skip
    assert (strict.baseline, mean.chance) == (None, 0.5)
    (queries,) = outcome.queries
    assert (queries.task, list(queries.ids)) == ("task", ["1", "2", "3"])
    (answers,) = outcome.answers
    first = answers.answers[0]
    assert (first.query_id, first.video, first.moments) == ("1", "a", found[0])
    assert first.windows == QUERIES[0].windows
    assert task.outcome(score_videos(QUERIES, [[], [], []])).answers == ()


def test_the_official_figures_of_the_official_sample(real_data: Path) -> None:
    folder = real_data / "annotations" / "qvhighlights"
    queries = qvhighlights.SUITE.queries(folder).test
    lines = (folder / "sample_val_preds.jsonl").read_text().splitlines()
    predicted = {str(row["qid"]): row["pred_relevant_windows"] for row in map(json.loads, lines)}
    found = [[(one.video_id, *window) for window in predicted[one.query_id]] for one in queries]
    ours = {
        metric: round(100 * mean, 2)
        for metric, mean in means(score_in_video(queries, found, with_map=True)).items()
    }
    official = json.loads((folder / "sample_val_preds_metrics_raw.json").read_text())["brief"]
    del ours["mIoU"]
    assert ours == {metric: official[f"MR-full-{metric}"] for metric in ours}
