import json
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.score.didemo_segments import score
from retrieval.errors import SourceError
from support.messages import logged

SPANS = [list(span) for span in combinations_with_replacement(range(6), 2)]


def scored(folder: Path, rankings: Any, truth: Any, notes: list[str] | None = None) -> Any:
    (folder / "p.json").write_text(json.dumps(rankings))
    (folder / "t.json").write_text(json.dumps(truth))
    with logged("benchmarks") as messages:
        found = score(folder / "p.json", folder / "t.json")
    if notes is not None:
        notes += messages
    return found


def ranked(*first: list[int]) -> list[list[int]]:
    return [*first, *(span for span in SPANS if span not in first)]


def test_by_hand(tmp_path: Path) -> None:
    truth = [
        {"times": [[0, 1], [0, 1], [0, 1], [5, 5]]},
        {"times": [[2, 2], [2, 2], [3, 3], [0, 0]]},
    ]
    found = scored(tmp_path, [ranked([0, 1]), ranked([1, 2], [2, 2], [3, 3])], truth)
    # The second: ranks 2, 2, 3; half of the first span is right for two annotators, the third
    # best has nothing of it.
    assert found == {
        "Average rank@1": 0.5, "Average rank@5": 1.0, "Average iou": round((1 + 1 / 3) / 2, 6),
    }  # fmt: skip


def test_the_official_figures_of_the_first_segment(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "annotations" / "didemo" / "val_data.json"
    times = [entry["times"] for entry in json.loads(path.read_text())]
    assert len(times) == 4180
    # The authors print these for spans ranked by how often they were chosen, [0, 0] first.
    found = scored(tmp_path, [ranked([0, 0])] * 4180, [{"times": one} for one in times])
    assert found["Average rank@1"] == 0.186842
    assert found["Average iou"] == 0.252216


def test_equal_to_loops_over_the_definition(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rankings = [[SPANS[i] for i in random.permutation(21)] for _ in range(200)]
    truth = [
        {"times": [SPANS[i] for i in random.choice([0, 1, 2, 6], size=4 + n % 4)]}
        for n in range(200)
    ]
    ranks, overlaps = [], []
    for ranking, line in zip(rankings, truth, strict=True):
        ranks.append(np.mean(sorted(ranking.index(span) + 1 for span in line["times"])[:3]))
        segments = [set(range(a, b + 1)) for a, b in [ranking[0], *line["times"]]]
        shared = [len(segments[0] & own) / len(segments[0] | own) for own in segments[1:]]
        overlaps.append(np.mean(sorted(shared)[-3:]))
    assert scored(tmp_path, rankings, truth) == {
        "Average rank@1": round(np.mean([rank <= 1 for rank in ranks]), 6),
        "Average rank@5": round(np.mean([rank <= 5 for rank in ranks]), 6),
        "Average iou": pytest.approx(np.mean(overlaps), abs=1e-6),
    }


def test_unusual_input_is_scored_and_logged(tmp_path: Path) -> None:
    notes: list[str] = []
    scored(tmp_path, [ranked()] * 2, [{"times": [[0, 0]] * 4}], notes)
    assert notes == ["2 rankings for 1 descriptions: the first 1 of both count"]


@pytest.mark.parametrize(
    ("rankings", "truth", "message"),
    [
        ({}, [], "{} is not a JSON list"),
        ([], [], "no description has a ranking"),
        ([[[0, 0]]], [{"times": [[0, 0], [1, 1]]}], r"entry 1: lacks the span \[1, 1\]"),
        ([[[0]]], [{"times": [[0, 0]]}], "expected 2 numbers"),
        ([[]], [{"times": [[0, 0]]}], "entry 1: 'ranking' is empty"),
        ([3], [{"times": [[0, 0]]}], "'ranking' is 3, expected a list"),
        ([[[0, 0]]], [{"times": []}], "entry 1: 'times' is empty"),
        ([[[0, 0]]], [3], "entry 1: 3 is not a JSON object"),
    ],
)
def test_files_that_cannot_be_used_fail(
    tmp_path: Path, rankings: Any, truth: Any, message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        scored(tmp_path, rankings, truth)


@pytest.mark.parametrize(
    ("ranking", "times"),
    [
        (ranked([0, 1]), [[0, 1, 5]] * 4),
        ([[0, 1, 7], *ranked([0, 1])], [[0, 1]] * 4),
        (ranked([0, 1]), [[0]] * 4),
    ],
)
def test_field_41_spans_of_other_than_two_numbers_are_refused(
    tmp_path: Path, ranking: Any, times: Any
) -> None:
    with pytest.raises(SourceError, match="expected 2 numbers"):
        scored(tmp_path, [ranking], [{"times": times}])
