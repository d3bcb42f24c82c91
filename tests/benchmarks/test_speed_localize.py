from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed import localize
from retrieval.collection import Collection
from retrieval.demo.world import World


def test_a_minute_has_as_many_rows_as_are_sampled() -> None:
    minute = localize.rows_of_a_minute(8, 2.0)
    assert minute.vectors.shape == (120, 8)
    assert (minute.start_seconds[1], minute.end_seconds[-1]) == (0.5, 60.0)
    np.testing.assert_allclose(np.linalg.norm(minute.vectors, axis=1), 1, rtol=1e-5)


def test_the_videos_are_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(localize, "VIDEOS", 1)
    world = localize.written_world(tmp_path / "world", 4.0)
    (video,) = world.items
    assert video.duration_seconds == pytest.approx(4.0, abs=0.2)
    written = (tmp_path / "world" / video.file).stat().st_mtime_ns
    assert localize.written_world(tmp_path / "world", 4.0) == world
    assert (tmp_path / "world" / video.file).stat().st_mtime_ns == written


def test_hammer_is_compared_with_similarity(
    tmp_path: Path, world: World, indexed: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(localize, "TURNS", 1)
    monkeypatch.setattr(localize, "written_world", lambda folder, length: world)
    monkeypatch.setattr(localize, "embed_videos", lambda folder, models: indexed)
    results = localize.run(folder=tmp_path)
    assert len(results) == 6
    for ratio, hammer, similarity in (results[:3], results[3:]):
        assert ratio.metric == "Hammer's time ÷ similarity's"
        assert ratio.value == pytest.approx((hammer.value or 0) / (similarity.value or 1))
        assert hammer.goal in (localize.MINUTE_GOAL_MS, localize.ADDED_GOAL_MS)
    assert results[3].pool == 3
