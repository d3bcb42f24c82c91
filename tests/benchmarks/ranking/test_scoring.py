from pathlib import Path

import numpy as np

from benchmarks.ranking.item_vectors import ItemVectors
from benchmarks.ranking.scoring import RankingTask, rank_by_search, rank_exactly
from benchmarks.results.outcome import RankedAnswer

ITEMS = ItemVectors.single(np.eye(4, dtype=np.float32))
TASK = RankingTask(
    "small",
    "text to image",
    ["q1", "q2", "q3"],
    ["one", "two", "three"],
    ["a", "b", "c", "d"],
    [[0], [0, 2], [1]],
    {"a": Path("a.png")},
    reports_map=True,
    published={("text to image", "R@1"): 0.5, ("image to text", "R@1"): 0.7},
)
TEXTS = ItemVectors.single(
    np.array([[0.9, 0.1, 0.3, 0], [0.1, 0.6, 0.3, 0.2], [0.5, 0.4, 0.4, 0.1]], np.float32)
)
"""The queries score the items by their columns: ranks 1, 2 and 3 (a tie with c counts)."""


def test_figures_worked_by_hand() -> None:
    outcome = rank_exactly(TASK, TEXTS, ITEMS)
    rows = {row.metric: row for row in outcome.results}
    assert list(rows) == ["R@1", "R@5", "R@10", "median rank", "mean rank", "mAP@10"]
    assert {(row.suite, row.task, row.pool) for row in rows.values()} == {
        ("small", "text to image", 4)
    }
    assert rows["R@1"].value == 1 / 3
    assert rows["R@5"].value == 1.0
    assert (rows["median rank"].value, rows["mean rank"].value) == (2.0, 2.0)
    # q2 finds c second and a last: (1/2 + 2/4) / 2
    np.testing.assert_allclose(rows["mAP@10"].value, (1 + 1 / 2 + 1 / 3) / 3)
    np.testing.assert_allclose(rows["R@1"].chance, (1 / 4 + 1 / 2 + 1 / 4) / 3)
    assert (rows["R@1"].published, rows["R@5"].published) == (0.5, None)
    (values,) = outcome.queries
    assert (values.task, list(values.ids)) == ("text to image", ["q1", "q2", "q3"])
    assert values.values["R@1"] == [1.0, 0.0, 0.0]
    assert values.values["mean rank"] == [1.0, 2.0, 3.0]
    for name, column in values.values.items():
        np.testing.assert_allclose(np.mean(column), rows[name].value)


def test_answers_are_in_order() -> None:
    (answers,) = rank_exactly(TASK, TEXTS, ITEMS).answers
    assert answers.files == {"a": Path("a.png")}
    first, second, third = answers.answers
    assert isinstance(second, RankedAnswer)
    assert (second.query_id, second.query) == ("q2", "two")
    assert (second.items, second.relevant) == (["b", "c", "d", "a"], ["a", "c"])
    np.testing.assert_allclose(second.scores, [0.6, 0.3, 0.2, 0.1], rtol=1e-6)
    assert isinstance(third, RankedAnswer)
    assert third.items == ["a", "b", "c", "d"]  # equal scores in order of the gallery
    assert isinstance(first, RankedAnswer)


def test_in_the_reversed_task_items_rank_queries() -> None:
    task = TASK.reversed()
    assert task.title == "image to text"
    assert (task.query_ids, task.items) == (["a", "b", "c"], ["q1", "q2", "q3"])
    assert task.relevant == [[0, 1], [2], [1]]  # d is relevant to no query
    outcome = rank_exactly(task, ITEMS.select(TASK.relevant_items()), TEXTS)
    rows = {row.metric: row for row in outcome.results}
    # a: q1 first; b: q3 after q2; c: q2 behind q3, and q1 ties with it
    assert outcome.queries[0].values["mean rank"] == [1.0, 2.0, 3.0]
    assert (rows["R@1"].value, rows["R@1"].published, rows["R@1"].pool) == (1 / 3, 0.7, 3)


def test_a_search_that_misses_counts_as_the_last() -> None:
    hits = {"one": [0], "two": [3, 1], "three": []}
    scores = {"one": [0.9], "two": [0.8, 0.7], "three": []}

    def search(text: str) -> tuple[np.ndarray, np.ndarray]:
        return np.array(scores[text], np.float32), np.array(hits[text], np.int64)

    outcome = rank_by_search(TASK, search)
    rows = {row.metric: row.value for row in outcome.results}
    assert list(rows) == ["R@1", "R@5", "R@10", "mAP@10"]
    assert rows["R@1"] == 1 / 3
    answers = [list(answer.items) for answer in outcome.answers[0].answers]
    assert answers == [["a"], ["d", "b"], []]
