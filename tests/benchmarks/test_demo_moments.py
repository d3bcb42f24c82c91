from pathlib import Path

import pytest

from benchmarks.moments.questions import Asked, in_true_item
from benchmarks.suites import demo_moments
from benchmarks.suites.demo_moments import _in_corpus, _look_alikes
from retrieval.collection import Collection
from retrieval.demo.world import World
from retrieval.evaluation.blind import best_constant_window
from retrieval.targets import Target
from retrieval.types import Medium


@pytest.fixture(scope="module")
def asked(world: World) -> list[Asked]:
    return [
        Asked(Path(v.file).name, v.caption, (v.start_seconds or 0, v.end_seconds or 0),
              v.duration_seconds or 0)
        for v in world.of(Medium.VIDEO)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def similarity(indexed: Collection) -> Collection:
    collection = Collection.open(indexed.root, device="cpu", localizer="similarity")
    collection._encoders = indexed._encoders
    return collection


def test_figures_stand_beside_the_blind_window(similarity: Collection, asked: list[Asked]) -> None:
    half, strict = in_true_item("suite", similarity, asked, Target.VIDEO, "task", {0.5: 0.9})
    assert (half.suite, half.metric, half.goal, half.pool) == ("suite", "R1@0.5", 0.9, 3)
    assert strict.goal is None
    blind = best_constant_window(
        [[a.span] for a in asked], [a.duration_seconds for a in asked], 0.5
    )
    assert half.baseline == blind[1]
    # The videos are found by the caption of one of their events: what is asked is what is shown.
    assert half.value is not None
    assert half.value >= strict.value >= 0


def test_a_corpus_figure_needs_video_and_span(similarity: Collection, asked: list[Asked]) -> None:
    right, first, ten = _in_corpus(similarity, asked, "similarity")
    assert ten.value == 1.0
    assert right.value is not None
    assert first.value is not None
    assert right.value <= first.value <= 1
    wrong = [Asked(a.file, a.caption, (a.duration_seconds, 999.0), 999.0) for a in asked]
    assert _in_corpus(similarity, wrong, "similarity")[0].value == 0


def test_look_alikes_are_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_moments, "SEED", 1)
    asked = _look_alikes(tmp_path, 2, lambda line: None)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")}
    assert len(written) == 2
    assert {one.file for one in asked} == {"00000.mp4", "00001.mp4"}
    assert len(asked) == 6
    assert _look_alikes(tmp_path, 2, lambda line: None) == asked
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_speed_is_that_of_a_minute_and_of_a_top_ten(
    indexed: Collection, asked: list[Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_moments, "TIMED", 2)
    minute, added = demo_moments._speed(indexed.root, "hammer", asked)
    assert minute.goal == 30.0
    assert added.goal == 300.0
    assert 0 < (minute.value or 0) < 60_000
    assert 0 < (added.value or 0) < 60_000
