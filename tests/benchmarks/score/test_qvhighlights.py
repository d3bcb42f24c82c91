import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.score.qvhighlights import score
from retrieval.errors import SourceError
from support.messages import logged
from support.moment_oracles import qvhighlights as oracle

Line = dict[str, Any]
OF_EVERY_LENGTH = [[0, 6], [10, 30], [40, 100]]


def write(path: Path, lines: list[Line]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def scored(
    folder: Path, predictions: list[Line], truth: list[Line], notes: list[str] | None = None
) -> dict[str, Any]:
    files = write(folder / "p.jsonl", predictions), write(folder / "t.jsonl", truth)
    with logged("benchmarks") as messages:
        found = score(*files)
    if notes is not None:
        notes += messages
    return found


def true_line(qid: int | str = 1, **fields: Any) -> Line:
    return {
        "qid": qid, "query": "a dog", "vid": "v", "duration": 150,
        "relevant_windows": OF_EVERY_LENGTH, "relevant_clip_ids": [3, 4],
        "saliency_scores": [[4, 3, 2], [1, 2, 0]],
    } | fields  # fmt: skip


def test_official_output_on_the_official_sample(real_data: Path) -> None:
    folder = real_data / "annotations" / "qvhighlights"
    found = score(folder / "sample_val_preds.jsonl", folder / "highlight_val_release.jsonl")
    official = (folder / "sample_val_preds_metrics_raw.json").read_text()
    assert json.dumps(found, indent=4) == official.strip()


def test_by_hand(tmp_path: Path) -> None:
    predicted = [
        # The first in the list is right for R1; mAP goes by score: right, wrong, right.
        {"qid": 1, "pred_relevant_windows": [[10, 30, 0.1], [0, 6, 0.9], [120, 130, 0.5]],
         "pred_saliency_scores": [0, 0, 0, 9, 8] + [0] * 70},
    ]  # fmt: skip
    found = scored(tmp_path, predicted, [true_line()])
    assert found["full"]["MR-R1"]["0.95"] == 100.0
    # Recall 1/3 at precision 1, 2/3 at precision 2/3.
    assert found["full"]["MR-mAP"]["0.5"] == float(f"{100 * (1 / 3 + 2 / 9):.2f}")
    assert found["short"]["MR-R1"]["0.5"] == 0.0
    assert found["short"]["MR-mAP"]["average"] == 100.0
    assert found["middle"]["MR-mAP"]["average"] == float(f"{100 / 3:.2f}")
    assert found["HL-min-Fair"] == {"HL-mAP": 100.0, "HL-Hit1": 100.0}
    # Only the first annotator gave a 4.
    assert found["HL-min-VeryGood"] == {"HL-mAP": 33.33, "HL-Hit1": 100.0}


seconds = st.integers(0, 14).map(lambda number: number * 10.0) | st.floats(0, 150).map(
    lambda number: round(number, 2)
)
marks = st.lists(st.integers(0, 4), min_size=3, max_size=3)


@st.composite
def files(draw: st.DrawFn) -> tuple[list[Line], list[Line]]:
    """Odd but valid: ties, reversed and empty windows, few or many, lines that repeat."""
    truth, predictions = [], []
    qids = draw(st.lists(st.integers(0, 4), min_size=1, max_size=5))
    for number, qid in enumerate(qids):
        clips = draw(st.lists(st.integers(0, 9), min_size=1, max_size=6, unique=True))
        windows = draw(st.lists(st.tuples(seconds, seconds).map(sorted), min_size=1, max_size=8))
        truth.append(
            true_line(
                qid,
                duration=draw(st.sampled_from([20, 21.9, 150])),
                # One query makes sure that there is a window of every length.
                relevant_windows=OF_EVERY_LENGTH if number == 0 else windows,
                relevant_clip_ids=clips,
                saliency_scores=[draw(marks) for _ in clips],
            )
        )
        predicted = st.tuples(seconds, seconds, st.sampled_from([0.1, 0.5, 0.5001, 0.9]))
        near = st.sampled_from(windows + OF_EVERY_LENGTH).map(lambda window: (*window, 0.5))
        predictions.append({
            "qid": qid,
            "pred_relevant_windows": draw(st.lists(predicted | near, min_size=1, max_size=13)),
            "pred_saliency_scores": draw(
                st.lists(st.sampled_from([-1, 0, 0.25, 0.5, 2]), min_size=1, max_size=14)
            ),
        })  # fmt: skip
    return draw(st.permutations(predictions)), truth


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(made=files())
def test_equal_to_an_independent_evaluator(
    tmp_path: Path, made: tuple[list[Line], list[Line]]
) -> None:
    predictions, truth = json.loads(json.dumps(made))
    assert json.dumps(scored(tmp_path, predictions, truth)) == json.dumps(
        oracle(predictions, truth)
    )


def test_windows_on_a_threshold_are_equal_to_an_independent_evaluator(tmp_path: Path) -> None:
    draw = random.Random(0)
    truth, predictions = [], []
    for qid in range(300):
        windows, parts = [], []
        for shortest, longest in ((1, 100), (101, 300), (301, 900)):
            start, length = draw.randint(0, 500) / 10, draw.randint(shortest, longest) / 10
            windows.append([start, round(start + length, 1)])
            parts.append([start, round(start + draw.choice([0.5, 0.7, 0.75]) * length, 2), 0.5])
        truth.append(true_line(qid, relevant_windows=windows))
        predictions.append({"qid": qid, "pred_relevant_windows": draw.sample(parts, 3)})
    assert scored(tmp_path, predictions, truth) == oracle(predictions, truth)


@pytest.mark.parametrize("name", ["pred_relevant_windows", "pred_saliency_scores"])
def test_only_predicted_tasks_are_scored(tmp_path: Path, name: str) -> None:
    line = {"qid": 1, "pred_relevant_windows": [[0, 6, 1.0]], "pred_saliency_scores": [1.0]}
    del line[name]
    found = scored(tmp_path, [line], [true_line()])
    assert ("full" in found) == (name != "pred_relevant_windows")
    assert ("HL-min-Fair" in found) == (name != "pred_saliency_scores")


def test_unusual_input_is_scored_and_logged(tmp_path: Path) -> None:
    notes: list[str] = []
    predictions = [
        {"qid": 1, "pred_relevant_windows": [[0, 6, 0.5], [9, 3, 0.5]],
         "pred_saliency_scores": [1.0]},
        {"qid": 1, "pred_relevant_windows": [[0, 6, 0.5]] * 11, "pred_saliency_scores": [1.0] * 75},
    ]  # fmt: skip
    scored(tmp_path, predictions, [true_line()], notes)
    messages = "\n".join(notes)
    for words in (
        "1 of 2 predictions with fewer than 10 windows",
        "1 of 2 predictions with more than 10 windows",
        "2 of 2 predictions with windows of equal scores",
        "1 of 2 predictions with windows that end at or before their start",
        "the predictions have several lines for 1 of 1 queries",
    ):
        assert words in messages
    assert "saliency" not in messages  # the last line has one score a clip


GOOD = {"qid": 1, "pred_relevant_windows": [[0, 6, 0.5]], "pred_saliency_scores": [1.0]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"qid": 2}, "lacks the query 1; both files must have the same queries"),
        ({"qid": [1]}, "line 1: 'qid' is .1., expected a number or text"),
        ({"pred_relevant_windows": []}, "is empty .the official evaluator stops here too"),
        ({"pred_relevant_windows": [[0, 6]]}, "holds .0, 6., expected 3 numbers"),
        ({"pred_relevant_windows": [[0, "6", 1]]}, "expected finite numbers"),
        ({"pred_relevant_windows": [[0, float("nan"), 1]]}, "expected finite numbers"),
        ({"pred_relevant_windows": {"a": 1}}, "expected a list"),
        ({"pred_saliency_scores": []}, "is empty .the official evaluator stops here too"),
        ({"pred_saliency_scores": [None]}, "expected finite numbers"),
        ({"pred_saliency_scores": [[1.0]]}, "lists in lists"),
        ({"pred_relevant_windows": [[[0], [6], [1]]]}, "lists in lists"),
    ],
)
def test_a_prediction_that_cannot_be_used_fails(tmp_path: Path, change: Line, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        scored(tmp_path, [GOOD | change], [true_line()])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relevant_windows": []}, "the query has no true window"),
        ({"relevant_windows": [[0, 6]]}, "no true window is longer than 10 and at most 30"),
        ({"relevant_clip_ids": [3, 75]}, "not among the video's 75 clips"),
        ({"relevant_clip_ids": [3]}, "one clip id for each of 2 marks"),
        ({"saliency_scores": [[1, 2], [1, 2]]}, "expected 3 numbers"),
        ({"duration": "150"}, "'duration' is '150', expected a number"),
        ({"duration": 10**400}, "expected finite numbers"),
        ({"duration": -2}, "'duration' is -2, expected 0 to"),
        ({"duration": 1e18}, r"'duration' is 1e\+18, expected 0 to"),
    ],
)
def test_a_true_line_that_cannot_be_used_fails(tmp_path: Path, change: Line, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        scored(tmp_path, [GOOD], [true_line() | change])


def test_a_later_line_without_a_field_of_the_first_fails(tmp_path: Path) -> None:
    later = {"qid": 2, "pred_saliency_scores": [1.0]}
    with pytest.raises(SourceError, match="line 2: lacks 'pred_relevant_windows'"):
        scored(tmp_path, [GOOD, later], [true_line(), true_line(2)])


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        ([[4, 3, 2, 1], [1, 2, 0, 1]], "expected 3 numbers .the official evaluator stops here"),
        ([[4, 3], [1, 2]], "expected 3 numbers"),
        ([[4, 3, None], [1, 2, 0]], "expected finite numbers"),
        ([[4, 3, True], [1, 2, 0]], "expected finite numbers"),
        (None, "expected a list"),
    ],
)
def test_field_41_rows_of_other_than_three_marks_are_refused(
    tmp_path: Path, marks: Any, message: str
) -> None:
    given = {"qid": 1, "pred_saliency_scores": [0.5] * 75}
    with pytest.raises(SourceError, match=rf"t\.jsonl, line 1: .*{message}"):
        scored(tmp_path, [given], [true_line(saliency_scores=marks)])


def test_field_41_a_score_beyond_64_bits_counts_as_the_number_it_is(tmp_path: Path) -> None:
    scores: list[float] = [0] * 75
    scores[3] = 10**25
    found = scored(tmp_path, [{"qid": 1, "pred_saliency_scores": scores}], [true_line()])
    scores[3] = 1e25
    assert found == scored(tmp_path, [{"qid": 1, "pred_saliency_scores": scores}], [true_line()])
    assert found["brief"]["HL-min-Fair-Hit1"] == 100.0
