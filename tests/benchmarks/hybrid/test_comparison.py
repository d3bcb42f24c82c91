import pytest

from benchmarks.hybrid.comparison import Comparison, Group, Method, answers_of_methods
from retrieval.evaluation.bootstrap import paired_interval
from retrieval.targets import TextMode

VALUES = {
    Method.VECTORS: {"R@1": [1.0, 0.0, 1.0, 1.0]},
    Method.TEXT: {"R@1": [0.0, 0.0, 1.0, 0.0]},
    Method.RANKS: {"R@1": [0.0, 1.0, 1.0, 0.0]},
    Method.OURS: {"R@1": [1.0, 1.0, 1.0, 0.0]},
}


def comparison(group: Group) -> Comparison:
    return Comparison("s", "text to image", group, list("abcd"), 8, {"R@1": 0.125})


def test_each_method_and_each_difference_has_a_row() -> None:
    outcome = comparison(Group.VECTORS).outcome(VALUES)
    prefix = "text to image, only vectors can answer: "
    rows = {row.task.removeprefix(prefix): row for row in outcome.results}
    assert {task: row.value for task, row in rows.items()} == {
        "vectors only": 0.75, "text only": 0.25, "reciprocal rank fusion": 0.5, "ours": 0.75,
        "ours minus vectors only": 0.0, "ours minus text only": 0.5,
    }  # fmt: skip
    assert {row.pool for row in rows.values()} == {8}
    assert rows["ours"].chance == 0.125
    assert (rows["ours"].low, rows["ours"].high) == (None, None)
    for method in (Method.VECTORS, Method.TEXT):
        row = rows[f"ours minus {method}"]
        expected = paired_interval(VALUES[method]["R@1"], VALUES[Method.OURS]["R@1"])
        assert (row.low, row.high) == expected
    assert {values.task.removeprefix(prefix): values.values for values in outcome.queries} == {
        str(method): values for method, values in VALUES.items()
    }
    assert all(list(values.ids) == list("abcd") for values in outcome.queries)


@pytest.mark.parametrize(
    ("group", "goals"),
    [
        (Group.VECTORS, {"ours minus vectors only": 0.0}),
        (Group.WORDS, {"ours minus text only": 0.0}),
        (Group.BOTH, {}),
    ],
)
def test_the_goal_is_to_lose_nothing_against_the_method_that_can_answer(
    group: Group, goals: dict[str, float]
) -> None:
    rows = comparison(group).outcome(VALUES).results
    found = {row.task.partition(": ")[2]: row.goal for row in rows if row.goal is not None}
    assert found == goals


def test_the_engine_answers_all_but_rank_fusion() -> None:
    def search(text: str, mode: TextMode) -> list[str]:
        return [f"{text} {mode}"]

    answers = answers_of_methods(["a", "b"], search, lambda both: [x for one in both for x in one])
    assert answers == {
        Method.VECTORS: [["a off"], ["b off"]],
        Method.TEXT: [["a only"], ["b only"]],
        Method.RANKS: [["a off", "a only"], ["b off", "b only"]],
        Method.OURS: [["a auto"], ["b auto"]],
    }
