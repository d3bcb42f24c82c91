import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.score.tvr import score
from retrieval.errors import SourceError
from support.messages import logged
from support.moment_oracles import tvr as oracle

Line = dict[str, Any]
VIDEOS = {"a": 0, "b": 1, "c": 19614}


def scored(
    folder: Path, submission: Line, truth: list[Line], notes: list[str] | None = None
) -> dict[str, Any]:
    (folder / "p.json").write_text(json.dumps(submission))
    (folder / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in truth))
    with logged("benchmarks") as messages:
        found = score(folder / "p.json", folder / "t.jsonl")
    if notes is not None:
        notes += messages
    return found


def true_line(desc_id: int, **fields: Any) -> Line:
    return {"desc_id": desc_id, "desc": "a dog", "vid_name": "a", "ts": [0, 10], "type": "v"} | (
        fields
    )


def entry(desc_id: int, *predictions: list[float]) -> Line:
    return {"desc_id": desc_id, "desc": "a dog", "predictions": list(predictions)}


def test_by_hand(tmp_path: Path) -> None:
    submission = {
        "video2idx": VIDEOS,
        "VCMR": [
            entry(1, [1, 0, 10, 0.9], [0, 0, 20, 0.8], [0, 0, 10, 0.1]),
            entry(2, [1, 5, 9, 0.9]),
        ],
        "SVMR": [
            entry(1, [1, 0, 10, 0.9], [0, 0, 20, 0.8], [0, 0, 10, 0.1]),
            entry(2, [1, 5, 9, 0.9]),
        ],
        "VR": [entry(1, [1, 0, 0, 0.9], [0, 0, 0, 0.8]), entry(2, [1, 0, 0, 0.9])],
    }
    truth = [true_line(1), true_line(2, vid_name="b", ts=[5, 10], type="vt")]
    found = scored(tmp_path, submission, truth)
    # The first query finds half of its moment at rank 2, all of it at rank 3; the second one 80 %.
    assert found["VCMR"] == {
        "0.5-r1": 50.0, "0.5-r5": 100.0, "0.5-r10": 100.0, "0.5-r100": 100.0,
        "0.7-r1": 50.0, "0.7-r5": 100.0, "0.7-r10": 100.0, "0.7-r100": 100.0,
    }  # fmt: skip
    # In the true video the first prediction is no longer in the way.
    assert found["SVMR"]["0.5-r1"] == 100.0
    assert found["SVMR"]["0.7-r1"] == 50.0
    assert found["VR"] == {"r1": 50.0, "r5": 100.0, "r10": 100.0, "r100": 100.0}
    assert found["VCMR_by_type"]["v-0.5-r1"] == 0.0
    assert found["VCMR_by_type"]["vt-0.5-r1"] == 100.0
    assert math.isnan(found["VR_by_type"]["t-r1"])
    assert found["VR_by_type"]["desc_type_ratio"] == "v 50.0 t 0.0 vt 50.0"
    assert list(found) == ["VCMR", "SVMR", "VR", "VCMR_by_type", "SVMR_by_type", "VR_by_type"]


seconds = st.integers(0, 12).map(float) | st.floats(0, 100).map(lambda number: round(number, 2))
windows = st.tuples(seconds, seconds).map(list)


@st.composite
def files(draw: st.DrawFn) -> tuple[Line, list[Line]]:
    """Odd but valid: missing tasks, few or many predictions, queries that repeat, DiDeMo's."""
    ids = draw(st.lists(st.integers(1, 9), min_size=1, max_size=8))
    truth = [
        true_line(
            one,
            vid_name=draw(st.sampled_from(sorted(VIDEOS))),
            ts=draw(windows | st.lists(windows, min_size=4, max_size=5)),
            type=draw(st.sampled_from(["v", "t", "vt"])),
        )
        for one in ids
    ]
    asked = [line["ts"] for line in truth if len(line["ts"]) == 2] or [[0, 10]]
    spans = windows | st.sampled_from(asked)
    predictions = st.lists(
        st.tuples(st.sampled_from(sorted(VIDEOS.values())), spans).map(
            lambda p: [p[0], *p[1], 0.5]
        ),
        min_size=1,
        max_size=14,
    )
    submission: Line = {"video2idx": VIDEOS}
    for task in draw(st.lists(st.sampled_from(["VR", "VCMR", "SVMR"]), unique=True)):
        submission[task] = [
            entry(one, *(draw(predictions) * draw(st.sampled_from([1, 1, 12])))) for one in ids
        ]
    return submission, truth


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(made=files())
def test_equal_to_an_independent_evaluator(tmp_path: Path, made: tuple[Line, list[Line]]) -> None:
    submission, truth = json.loads(json.dumps(made))
    assert json.dumps(scored(tmp_path, submission, truth)) == json.dumps(oracle(submission, truth))


def test_windows_on_a_threshold_are_equal_to_an_independent_evaluator(tmp_path: Path) -> None:
    draw = random.Random(0)
    truth, rows = [], []
    for number in range(300):
        start, length = draw.randint(0, 500) / 10, draw.randint(1, 200) / 10
        end = round(start + draw.choice([0.5, 0.7]) * length, 2)
        truth.append(true_line(number, ts=[start, round(start + length, 1)]))
        rows.append(entry(number, [0, start, end, 1]))
    submission = {"video2idx": VIDEOS, "VCMR": rows}
    assert json.dumps(scored(tmp_path, submission, truth)) == json.dumps(oracle(submission, truth))


@pytest.mark.parametrize(
    ("predicted", "true", "double", "single"),
    [([13.5, 16.4], [13.5, 19.3], False, True), ([36.5, 37.1], [36.5, 37.7], True, False)],
)
def test_overlap_is_computed_in_single_precision(
    tmp_path: Path, predicted: list[float], true: list[float], double: bool, single: bool
) -> None:
    # Half of a moment, whose times are not exact in binary.
    assert ((predicted[1] - predicted[0]) / (true[1] - true[0]) >= 0.5) == double
    submission = {"video2idx": VIDEOS, "VCMR": [entry(1, [0, *predicted, 1])]}
    found = scored(tmp_path, submission, [true_line(1, ts=true)])
    assert found["VCMR"]["0.5-r1"] == 100.0 * single


def test_truth_without_types_has_no_groups_by_type(tmp_path: Path) -> None:
    line = true_line(1)
    del line["type"]
    found = scored(tmp_path, {"video2idx": VIDEOS, "VR": [entry(1, [0, 0, 0, 1])]}, [line])
    assert found == {"VR": {"r1": 100.0, "r5": 100.0, "r10": 100.0, "r100": 100.0}}


def test_types_of_the_official_validation_queries(real_data: Path, tmp_path: Path) -> None:
    truth = real_data / "annotations" / "tvr" / "tvr_val_release.jsonl"
    lines = [json.loads(line) for line in truth.read_text().splitlines()]
    numbers = {name: n for n, name in enumerate(sorted({line["vid_name"] for line in lines}))}
    right = [entry(one["desc_id"], [numbers[one["vid_name"]], *one["ts"], 1]) for one in lines]
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"video2idx": numbers, "VCMR": right}))
    found = score(path, truth)
    # As in the sample output that the authors publish.
    assert found["VCMR_by_type"]["desc_type_ratio"] == "v 74.32 t 8.85 vt 16.83"
    # The truth itself finds everything but moments without length, if there are any.
    empty = sum(one["ts"][0] == one["ts"][1] for one in lines)
    assert found["VCMR"]["0.7-r1"] == round(100 * (1 - empty / len(lines)), 2)


def test_unusual_input_is_scored_and_logged(tmp_path: Path) -> None:
    notes: list[str] = []
    submission = {"video2idx": VIDEOS, "VR": [entry(1, [1, 0, 0, 1]), entry(1, [0, 0, 0, 1])]}
    found = scored(tmp_path, submission, [true_line(1)], notes)
    assert found["VR"]["r1"] == 100.0
    messages = "\n".join(notes)
    assert "VR: 1 of 1 queries occur more than once: the last entry counts" in messages
    assert "VR: 1 of 1 queries with fewer than 100 predictions: scored as they are" in messages
    assert "no query has type 't'" in messages


@pytest.mark.parametrize(
    ("submission", "message"),
    [
        ({}, "lacks 'video2idx'"),
        ({"video2idx": [1]}, r"video2idx: \[1\] is not a JSON object"),
        ({"video2idx": {"b": 1}}, "video2idx: lacks 'a'"),
        ({"video2idx": VIDEOS, "VR": {}}, "'VR' is {}, expected a list"),
        ({"video2idx": VIDEOS, "VR": [3]}, "VR entry 1: 3 is not a JSON object"),
        ({"video2idx": VIDEOS, "VR": []}, "lacks the query 1"),
        ({"video2idx": VIDEOS, "VR": [entry(1, [0, 0, 0]), entry(2)]}, "lacks the query 2"),
        ({"video2idx": VIDEOS, "VR": [entry(1)]}, "VR entry 1: 'predictions' is empty"),
        ({"video2idx": VIDEOS, "VR": [entry(1, [0, 1])]}, "expected 3 numbers"),
        ({"video2idx": VIDEOS, "VR": [entry(1, [0, 1, "2"])]}, "expected finite numbers"),
    ],
)  # fmt: skip
def test_predictions_that_cannot_be_used_fail(
    tmp_path: Path, submission: Line, message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        scored(tmp_path, submission, [true_line(1)])


@pytest.mark.parametrize(
    ("change", "message"),
    [({"type": "x"}, "'type' is 'x', expected v, t or vt"), ({"ts": [1]}, "expected 2 numbers")],
)
def test_a_true_line_that_cannot_be_used_fails(tmp_path: Path, change: Line, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        scored(tmp_path, {"video2idx": VIDEOS}, [true_line(1) | change])
