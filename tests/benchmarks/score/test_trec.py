import random
from pathlib import Path
from typing import Any

import pytest

from benchmarks.score.trec import score
from retrieval.errors import SourceError
from support.messages import logged

Table = dict[str, dict[str, Any]]


def scored(folder: Path, run: str, qrels: str, notes: list[str] | None = None) -> dict[str, Any]:
    (folder / "run").write_text(run)
    (folder / "qrels").write_text(qrels)
    with logged("benchmarks") as messages:
        found = score(folder / "run", folder / "qrels")
    if notes is not None:
        notes += messages
    return found


def as_run(run: Table) -> str:
    return "".join(
        f"{query} Q0 {item} 0 {value!r} ours\n"
        for query, items in run.items()
        for item, value in items.items()
    )


def as_qrels(qrels: Table) -> str:
    return "".join(
        f"{query} 0 {item} {value}\n"
        for query, items in qrels.items()
        for item, value in items.items()
    )


def test_by_hand(tmp_path: Path) -> None:
    run = "q1 Q0 a 7 0.5 ours\nq1 Q0 b 8 0.9 ours\n\nq2\tQ0 c 1 0.1 ours more\n"
    qrels = "q1 0 a 1\nq1 0 b 0\nq1 0 z 1\nq2 0 c 2\n"
    found = scored(tmp_path, run, qrels)
    counts = {"runid": "ours", "num_q": 2, "num_ret": 3, "num_rel": 3, "num_rel_ret": 2}
    assert {name: found[name] for name in counts} == counts
    # The ranks are those of the scores: b, then a. z was not found.
    assert found["map"] == 0.625  # (1/2 · 1/2 + 1) / 2
    assert found["recip_rank"] == 0.75
    assert found["recall_5"] == 0.75
    assert found["success_1"] == 0.5
    assert found["ndcg_cut_10"] == 0.6934  # (0.6309 / 1.6309 + 1) / 2


def test_equal_scores_are_sorted_by_descending_name(tmp_path: Path) -> None:
    found = scored(tmp_path, "q Q0 a 1 1.0 x\nq Q0 b 2 1.0 x\n", "q 0 a 1\n")
    assert found["recip_rank"] == 0.5
    found = scored(tmp_path, "q Q0 a 1 1.0 x\nq Q0 b 2 1.0 x\n", "q 0 b 1\n")
    assert found["recip_rank"] == 1.0


def test_equal_to_trec_eval(tmp_path: Path) -> None:
    oracle = pytest.importorskip("pytrec_eval", reason="trec_eval's own code is not installed")
    draw = random.Random(1)
    items = [f"d{number}" for number in range(30)] + ["é", "D1"]
    run: Table = {
        f"q{n}": {
            # Scores that tie, some of them in single precision only.
            item: draw.choice([0.25, 0.5, 0.5 + 1e-9, 1.0, 7.5])
            for item in draw.sample(items, draw.randint(1, 30))
        }
        for n in range(25)
    }
    qrels: Table = {
        f"q{n}": {item: draw.choice([-1, 0, 1, 1, 2, 3]) for item in draw.sample(items, 12)}
        for n in range(3, 28)
    }
    qrels["q5"] = {"d1": 0}
    found = scored(tmp_path, as_run(run), as_qrels(qrels))
    depths = "1,5,10,100"
    measures = {"map", "recip_rank", "ndcg", "num_q", "num_ret", "num_rel", "num_rel_ret"} | {
        f"{name}.{depths}" for name in ("recall", "ndcg_cut", "map_cut", "success")
    }
    theirs = oracle.RelevanceEvaluator(qrels, measures).evaluate(run)
    assert found.pop("runid") == "ours"
    assert found["num_q"] == len(theirs) == 22
    for name, value in found.items():
        values = [one[name] for one in theirs.values()]
        want = sum(values) if name.startswith("num") else sum(values) / len(values)
        assert value == float(f"{want:.4f}"), name


def test_a_query_with_negative_relevances_only_scores_0(tmp_path: Path) -> None:
    run = "q1 Q0 a 1 1 x\nq2 Q0 a 1 1 x\n"
    found = scored(tmp_path, run, "q1 0 a -1\nq1 0 b -2\nq2 0 a 1\n")
    assert (found["num_q"], found["num_rel"]) == (2, 1)
    assert (found["map"], found["ndcg"], found["success_1"]) == (0.5, 0.5, 0.5)


def test_queries_of_one_file_only_are_logged(tmp_path: Path) -> None:
    notes: list[str] = []
    run, qrels = "q1 Q0 a 1 1 x\nq2 Q0 a 1 1 x\n", "q1 0 a 1\nq3 0 a 1\nq4 0 a 1\n"
    assert scored(tmp_path, run, qrels, notes)["num_q"] == 1
    assert "run lacks 2 of 3 queries" in notes[0]
    assert "qrels lacks 1 of 2 queries" in notes[1]


@pytest.mark.parametrize(
    ("run", "qrels", "message"),
    [
        ("q Q0 a 1 1\n", "q 0 a 1\n", "run, line 1: 5 columns"),
        (
            "q Q0 a 1 1 x\nq Q0 b 2 high x\n",
            "q 0 a 1\n",
            "run, line 2: 'high' is not a finite number",
        ),
        ("q Q0 a 1 nan x\n", "q 0 a 1\n", "'nan' is not a finite number"),
        ("q Q0 a 1 1 x\nq Q0 a 2 0 x\n", "q 0 a 1\n", "line 2: item 'a' occurs twice"),
        ("q Q0 a 1 1 x\n", "q 0 a\n", "qrels, line 1: 3 columns"),
        ("q Q0 a 1 1 x\n", "q 0 a 0.5\n", "'0.5' is not a whole number"),
        ("q Q0 a 1 1 x\n", "q 0 a 1e9\n", "'1e9' is not a whole number up to 1,000,000"),
        ("q Q0 a\0b 1 1 x\n", "q 0 a 1\n", "run, line 1: holds a null character"),
        ("q Q0 a 1 1 x\n", "p 0 a 1\n", "no query in common"),
        ("\n", "q 0 a 1\n", "run: is empty"),
    ],
)
def test_files_that_cannot_be_used_fail(tmp_path: Path, run: str, qrels: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        scored(tmp_path, run, qrels)
