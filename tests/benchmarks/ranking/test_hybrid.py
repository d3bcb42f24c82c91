"""Items by vectors, words and both: by hand, and by a whole run of a suite with texts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.datasets.dataset import DataSet
from benchmarks.hybrid.comparison import Group
from benchmarks.ranking.hybrid import HybridQuery, HybridTask
from benchmarks.ranking.suite import Caption, Gallery, RankingSuite
from benchmarks.results.outcome import Outcome, RankedAnswer
from benchmarks.runner import run_suite
from benchmarks.suite import RunOptions
from retrieval.collection import Collection
from retrieval.demo.world import World
from retrieval.targets import TextMode
from retrieval.types import Medium, TextSource, TimedText

OFF, ONLY, AUTO = TextMode.OFF, TextMode.ONLY, TextMode.AUTO
FOUND = {
    ("a dog", OFF): ["b", "a"],
    ("a dog", ONLY): [],
    ("a dog", AUTO): ["a", "b"],
    ("file 7", OFF): ["a", "b"],
    ("file 7", ONLY): ["d", "b"],
    ("file 7", AUTO): ["d", "a"],
}
QUERIES = [
    HybridQuery("1", "a dog", ("a",), Group.VECTORS),
    HybridQuery("2", "file 7", ("c", "d"), Group.WORDS),
]


def figures(outcome: Outcome) -> dict[tuple[str, str], float | None]:
    return {(row.task, row.metric): row.value for row in outcome.results}


def test_each_group_has_the_figures_of_its_queries() -> None:
    task = HybridTask("s", "text to image", QUERIES, 4, (1, 2))
    outcome = task.measure(lambda text, mode: FOUND[text, mode])
    found = figures(outcome)
    only_vectors, only_words = (
        f"text to image, only {side} can answer: " for side in ("vectors", "words")
    )
    expected = {
        only_vectors: {"vectors only": (0, 1), "text only": (0, 0),
                       "reciprocal rank fusion": (0, 1), "ours": (1, 1),
                       "ours minus vectors only": (1, 0), "ours minus text only": (1, 1)},
        # b has ranks 2 and 2 and is first; a and d have rank 1 once, a by vectors.
        only_words: {"vectors only": (0, 0), "text only": (1, 1),
                     "reciprocal rank fusion": (0, 0), "ours": (1, 1),
                     "ours minus vectors only": (1, 1), "ours minus text only": (0, 0)},
    }  # fmt: skip
    assert found == {
        (prefix + method, f"R@{k}"): value
        for prefix, methods in expected.items()
        for method, values in methods.items()
        for k, value in zip((1, 2), values, strict=True)
    }
    chances = {row.task: row.chance for row in outcome.results if row.metric == "R@1"}
    assert chances[only_vectors + "ours"] == pytest.approx(1 / 4)
    assert chances[only_words + "ours"] == pytest.approx(2 / 4)
    first, second = outcome.answers
    assert first.task == only_vectors + "ours"
    assert second.answers == [RankedAnswer("2", "file 7", ["d", "a"], [1.0, 0.5], ("c", "d"))]


# ---------------------------------------------------------------- a run

NAMES = [f"{number}.png" for number in range(6)]


def suite_of(world: World) -> RankingSuite:
    """Six pictures of the demo world. The last three have texts; only words can tell two apart."""
    captions = [item.caption for item in world.of(Medium.IMAGE)[:6]]

    def read(data: Path) -> Gallery:
        texts = {
            "3.png": [TimedText(TextSource.CAPTION, captions[3])],
            "4.png": [TimedText(TextSource.TAG, "Marvoto"), TimedText(TextSource.TAG, "ticket")],
            "5.png": [TimedText(TextSource.TAG, "Kelindra ticket")],
        }
        return Gallery(
            {name: data / name for name in NAMES},
            [
                Caption(name, caption, (name,))
                for name, caption in zip(NAMES[:4], captions, strict=False)
            ],
            texts,
            [
                Caption("first", "Marvoto ticket", ("4.png",)),
                Caption("second", "ticket Kelindra", ("5.png",)),
            ],
        )

    data_set = DataSet(title="t", task="text to image", size="6", licence="none", source="a test",
                       files=NAMES)  # fmt: skip
    return RankingSuite(
        name="small", summary="s.", data_set=data_set, medium=Medium.IMAGE, read=read
    )


def test_a_suite_with_texts_compares_vectors_with_words(world: World, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name, item in zip(NAMES, world.of(Medium.IMAGE), strict=False):
        shutil.copy(world.folder / item.file, data / name)
    # A caption beside a picture is not one of the suite's texts.
    (data / "0.txt").write_text("Marvoto ticket")
    options = RunOptions(folder=tmp_path / "out", data_folder=data, models=("tiny",))
    outcome = run_suite(suite_of(world), options)
    found = figures(outcome)
    prefix = "text to image, only words can answer: "
    assert found[prefix + "ours", "R@1"] == found[prefix + "text only", "R@1"] == 1.0
    prefix = "text to image, only vectors can answer: "
    assert found[prefix + "ours", "R@1"] == found[prefix + "vectors only", "R@1"]
    assert found[prefix + "text only", "R@10"] == 0.0
    assert found["text to image, both can answer: text only", "R@1"] == 1.0
    assert len([task for task in outcome.queries if "can answer" in task.task]) == 3 * 4
    stored = [row for batch in Collection.open(tmp_path / "out" / "collection").snapshot.texts()
              for row in batch.column("text").to_pylist()]  # fmt: skip
    assert sorted(stored)[:3] == ["Kelindra ticket", "Marvoto", world.of(Medium.IMAGE)[3].caption]
    assert len(stored) == 4
    again = run_suite(suite_of(world), options)
    assert figures(again) == found
