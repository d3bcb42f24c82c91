import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.score.qvhighlights import score as score_qvhighlights
from benchmarks.score.windows import score
from retrieval.errors import SourceError
from support.messages import logged

Line = dict[str, Any]


def files(folder: Path, predictions: list[Line], truth: list[Line]) -> tuple[Path, Path]:
    for name, lines in (("p.jsonl", predictions), ("t.jsonl", truth)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / "p.jsonl", folder / "t.jsonl"


def test_by_hand(tmp_path: Path) -> None:
    predictions = [
        {"qid": "a", "pred_relevant_windows": [[0, 4, 0.9], [0, 8, 0.5]]},
        {"qid": "b", "pred_relevant_windows": [[5, 15, 0.9]]},
        {"qid": "c", "pred_relevant_windows": []},
    ]
    truth = [
        {"qid": "a", "duration": 30, "vid": "v", "relevant_windows": [[0, 8]]},
        {"qid": "b", "duration": 30, "vid": "v", "relevant_windows": [[5, 25]]},
        {"qid": "c", "duration": 30, "vid": "v", "relevant_windows": [[1, 9]]},
    ]
    with logged("benchmarks") as notes:
        found = score(*files(tmp_path, predictions, truth))
    brief = found["brief"]
    assert brief["MR-full-R1@0.3"] == brief["MR-full-R1@0.5"] == 66.67
    assert brief["MR-full-R1@0.7"] == 0.0
    assert brief["MR-full-R5@0.7"] == 33.33
    assert brief["MR-full-mIoU"] == 33.33  # (0.5 + 0.5 + 0) / 3
    # Of a, the second window by score is the right one from 0.55 on; b is right at 0.5 alone.
    assert brief["MR-full-mAP@0.5"] == 66.67
    assert brief["MR-full-mAP@0.75"] == 16.67
    assert [found[name]["queries"] for name in ("full", "short", "middle")] == [3, 2, 1]
    assert "long" not in found  # no true window is so long
    assert "3 of 3 predictions with fewer than 10 windows: scored as they are" in notes


def test_the_shared_figures_are_those_of_qvhighlights(real_data: Path) -> None:
    folder = real_data / "annotations" / "qvhighlights"
    paths = folder / "sample_val_preds.jsonl", folder / "highlight_val_release.jsonl"
    official = json.loads((folder / "sample_val_preds_metrics_raw.json").read_text())
    found = score(*paths)
    for name in ("full", "short", "middle", "long"):
        assert found[name]["MR-mAP"] == official[name]["MR-mAP"]
        assert official[name]["MR-R1"].items() <= found[name]["MR-R1"].items()


def test_windows_without_length_or_beyond_1500_seconds_are_left_out(tmp_path: Path) -> None:
    truth = [
        {"qid": 1, "relevant_windows": [[0, 2000]]},
        {"qid": 2, "relevant_windows": [[5, 5]]},
        {"qid": 3, "relevant_windows": [[0, 8]]},
    ]
    predictions = [{"qid": n, "pred_relevant_windows": [[0, 8, 1.0]]} for n in (1, 2, 3)]
    with logged("benchmarks") as notes:
        found = score(*files(tmp_path, predictions, truth))
    assert found["full"]["queries"] == 1
    assert found["brief"]["MR-full-mAP"] == 100.0
    assert any("2 of 3 queries have no true window of more than 0" in note for note in notes)
    with pytest.raises(SourceError, match="no query has a true window of a length above 0"):
        score(*files(tmp_path, predictions[:1], truth[:1]))


def test_a_prediction_without_windows_is_a_miss_here_and_an_error_there(tmp_path: Path) -> None:
    paths = files(
        tmp_path,
        [{"qid": 1, "pred_relevant_windows": []}],
        [{"qid": 1, "relevant_windows": [[0, 6], [0, 20], [0, 90]]}],
    )
    assert score(*paths)["brief"]["MR-full-R1@0.3"] == 0.0
    with pytest.raises(SourceError, match=r"is empty .the official evaluator stops here too"):
        score_qvhighlights(*paths)


def test_other_queries_fail(tmp_path: Path) -> None:
    paths = files(
        tmp_path,
        [{"qid": n, "pred_relevant_windows": []} for n in (1, 2, 3)],
        [{"qid": 1, "relevant_windows": [[0, 6]]}],
    )
    with pytest.raises(SourceError, match=r"t\.jsonl: lacks the query 2 and 1 more"):
        score(*paths)
