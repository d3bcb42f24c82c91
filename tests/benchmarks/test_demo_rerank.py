from pathlib import Path

import numpy as np
import pytest

from benchmarks.suites import demo_rerank


def test_captions_are_ranked_before_and_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_rerank, "SCENES", 30)
    outcome = demo_rerank.run(folder=tmp_path)
    results = outcome.results
    galleries = [results[:4], results[4:8], results[8:]]
    for gallery, described in zip(galleries, demo_rerank.GALLERIES, strict=True):
        assert {result.task for result in gallery} == {f"relations → image, {described.name}"}
        ceiling, first, fifth, took = gallery
        assert [result.metric for result in gallery] == [
            "ceiling", "R@1", "R@5", "ms to re-rank 20",
        ]  # fmt: skip
        assert first.pool == 30
        assert first.baseline <= fifth.baseline <= ceiling.value
        assert first.value <= fifth.value <= ceiling.value <= 1
        assert first.goal == pytest.approx(first.baseline + described.gain)
        assert first.chance == pytest.approx(1 / 30)
        assert took.value > 0
    found = {(result.task, result.metric): result.value for result in results}
    assert len(outcome.queries) == 3
    for entry in outcome.queries:
        assert len(set(entry.ids)) == len(entry.ids)
        for metric, column in entry.values.items():
            assert found[entry.task, metric] == pytest.approx(np.mean(column))
