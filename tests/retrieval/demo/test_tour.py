from pathlib import Path

import pytest

from retrieval.demo.tour import HITS, tour
from retrieval.demo.world import WorldSettings
from retrieval.targets import Target
from retrieval.types import Medium


@pytest.mark.long
def test_the_tour_searches_all_targets_and_writes_a_page(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "retrieval")
    small = WorldSettings(seed=3, images=12, tunes=4, videos=2, video_seconds=(20.0, 22.0))
    stops = tour(tmp_path, settings=small)
    assert {stop.target for stop in stops} == set(Target)
    assert any("items embedded" in line for line in caplog.messages)
    for stop in stops:
        assert 1 <= len(stop.result.hits) <= HITS
        assert stop.result.query == stop.expected.caption
        if stop.target is Target.IMAGE:
            scores = [hit.score for hit in stop.result.hits]
            assert scores == sorted(scores, reverse=True)
            assert {hit.modality for hit in stop.result.hits} == {Medium.IMAGE}
        if stop.target is Target.MOMENT:
            assert all(hit.end_seconds for hit in stop.result.hits)
    page = (tmp_path / "gallery.html").read_text()
    assert page.count("<article") == sum(len(stop.result.hits) for stop in stops)
    assert page.count('class="truth"') >= 1
    # Again: the world and the collection are kept, the answers are the same.
    caplog.clear()
    again = tour(tmp_path, settings=small)
    assert [stop.result.hits for stop in again] == [stop.result.hits for stop in stops]
    assert any(line.startswith("0 items embedded") for line in caplog.messages)
