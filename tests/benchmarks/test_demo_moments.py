from pathlib import Path

import pytest

from benchmarks.moments.generated_queries import CaptionedMoment, TrueItemTask
from benchmarks.suites import demo_moments
from benchmarks.suites.demo_moments import _in_corpus, _look_alike_queries
from retrieval.collection import Collection
from retrieval.demo.world import World
from retrieval.evaluation.blind import best_constant_window
from retrieval.targets import Target
from retrieval.types import Medium


@pytest.fixture(scope="module")
def queries(world: World) -> list[CaptionedMoment]:
    return [
        CaptionedMoment(Path(v.file).name, v.caption, (v.start_seconds or 0, v.end_seconds or 0),
              v.duration_seconds or 0)
        for v in world.of(Medium.VIDEO)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def similarity(indexed: Collection) -> Collection:
    collection = Collection.open(indexed.root, device="cpu", localizer="similarity")
    collection._encoders = indexed._encoders
    return collection


def test_figures_have_the_blind_window_as_baseline(
    similarity: Collection, queries: list[CaptionedMoment]
) -> None:
    task = TrueItemTask("suite", "task", queries, Target.VIDEO, {0.5: 0.9})
    half, strict = task.measure(similarity)
    assert (half.suite, half.metric, half.goal, half.pool) == ("suite", "R1@0.5", 0.9, 3)
    assert strict.goal is None
    blind = best_constant_window(
        [[a.span] for a in queries], [a.duration_seconds for a in queries], 0.5
    )
    assert half.baseline == blind[1]
    # The caption describes an event of the video.
    assert half.value is not None
    assert half.value >= strict.value >= 0


def test_a_corpus_figure_needs_video_and_span(
    similarity: Collection, queries: list[CaptionedMoment]
) -> None:
    right, first, ten = _in_corpus(similarity, queries, "similarity")
    assert ten.value == 1.0
    assert right.value is not None
    assert first.value is not None
    assert right.value <= first.value <= 1
    wrong = [
        CaptionedMoment(a.file, a.caption, (a.duration_seconds, 999.0), 999.0) for a in queries
    ]
    assert _in_corpus(similarity, wrong, "similarity")[0].value == 0


@pytest.mark.long
def test_look_alikes_are_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_moments, "SEED", 1)
    queries = _look_alike_queries(tmp_path, 2)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")}
    assert len(written) == 2
    assert {one.file for one in queries} == {"00000.mp4", "00001.mp4"}
    assert len(queries) == 6
    assert _look_alike_queries(tmp_path, 2) == queries
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_speed_is_that_of_a_minute_and_of_a_top_ten(
    indexed: Collection, queries: list[CaptionedMoment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_moments, "TIMED_QUERIES", 2)
    minute, added = demo_moments._speed(indexed.root, "hammer", queries)
    assert minute.goal == 30.0
    assert added.goal == 300.0
    assert 0 < (minute.value or 0) < 60_000
    assert 0 < (added.value or 0) < 60_000
