from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import retrieval.search.moments
from retrieval.collection import Collection
from retrieval.demo.world import World
from retrieval.localization.hammer import HammerLocalizer
from retrieval.localization.similarity import SimilarityLocalizer
from retrieval.search.options import SearchOptions
from retrieval.search.searcher import Searcher
from retrieval.search.timed_rows import frame_rows
from retrieval.targets import Target
from retrieval.types import Frames, Medium, MomentQuery, ScoredSpan, Space, TimedRows
from support.small_hammer import write_hammer


@pytest.fixture(scope="module")
def space(indexed: Collection) -> Space:
    return next(space for space in indexed.snapshot.spaces if Medium.VIDEO in space.media)


@pytest.fixture(scope="module")
def hammer(space: Space, tmp_path_factory: pytest.TempPathFactory) -> HammerLocalizer:
    folder = tmp_path_factory.mktemp("hammer")
    write_hammer(folder, digest=space.digest, dim=space.dim)
    return HammerLocalizer.load(folder, device="cpu")


@pytest.fixture(scope="module")
def searcher(indexed: Collection, hammer: HammerLocalizer) -> Searcher:
    return Searcher(indexed.snapshot, indexed.encoder, (hammer, SimilarityLocalizer()))


@pytest.fixture
def every_span(monkeypatch: pytest.MonkeyPatch) -> None:
    """An untrained Hammer gives every span a low probability."""
    monkeypatch.setattr(retrieval.search.moments, "MIN_PROBABILITY", 0.0)


def test_a_text_is_answered_with_the_learned_localizers_spans(
    indexed: Collection, searcher: Searcher, hammer: HammerLocalizer, space: Space,
    every_span: None,
) -> None:  # fmt: skip
    hits = searcher.search(
        "a red star", SearchOptions(to=["video", "moment"], k=99, spaces=[space.name])
    ).hits
    query = MomentQuery(indexed.encoder(space).encode_text(["a red star"])[0], "a red star")
    ids = list(dict.fromkeys(hit.item_id for hit in hits))
    assert len(ids) == 3
    rows = []
    for item_id in ids:
        frames = indexed.snapshot.item_frames(space.name, item_id)
        assert frames is not None
        segments = indexed.snapshot.item_segments(space.name, item_id)
        rows.append(frame_rows(frames, float(segments.end_seconds[-1])))
    want = {
        (item_id, span[0]): span
        for item_id, spans in zip(ids, hammer.localize(query, rows), strict=True)
        for span in spans
    }
    assert len(hits) == len(want)
    for hit in hits:
        assert hit.start_seconds is not None
        span = want[(hit.item_id, hit.start_seconds)]
        assert (hit.end_seconds, hit.score) == pytest.approx(span[1:], rel=1e-3)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_queries_with_files_and_other_media_fall_back_to_similarity(
    indexed: Collection, searcher: Searcher, world: World, space: Space
) -> None:
    path = world.folder / world.items[0].file
    for query, to in ((f'@"{path}"', ["video", "moment"]), ('"a star" + "a circle"', ["moment"]),
                      ("a piano", ["music", "moment"])):  # fmt: skip
        got = searcher.search(query, SearchOptions(to=to, k=99)).hits
        want = (
            Searcher(indexed.snapshot, indexed.encoder)
            .search(query, SearchOptions(to=to, k=99))
            .hits
        )
        assert got == want
        assert got


def test_learned_moments_keep_the_ranks_of_their_items(searcher: Searcher) -> None:
    """Probabilities of one group of items do not compete with scores of other spaces."""
    hits = searcher.search(
        "a red star, a calm piano", SearchOptions(to=["music", "moment"], k=99)
    ).hits
    mixed = searcher.search("a red star, a calm piano", SearchOptions(to=["moment"], k=99)).hits
    others = [hit for hit in mixed if hit.medium is Medium.AUDIO]
    assert [h.item_id for h in others] == [
        h.item_id for h in hits if h.item_id in {o.item_id for o in others}
    ]
    videos = [hit.score for hit in mixed if hit.medium is Medium.VIDEO]
    assert videos == sorted(videos, reverse=True)


def test_borders_are_half_way_between_frames() -> None:
    rows = frame_rows(Frames(np.array([0, 0.5, 1.0], np.float32), np.eye(3, dtype=np.float32)), 1.3)
    np.testing.assert_allclose(rows.start_seconds, [0, 0.25, 0.75])
    np.testing.assert_allclose(rows.end_seconds, [0.25, 0.75, 1.3])
    assert all(a <= b for a, b in pairwise(rows.start_seconds))
    one = frame_rows(Frames(np.zeros(1, np.float32), np.ones((1, 3), np.float32)), 0.5)
    assert (one.start_seconds[0], one.end_seconds[0]) == (0.0, 0.5)


def test_a_moment_never_lasts_longer_than_its_video(searcher: Searcher) -> None:
    for hit in searcher.search("a circle", SearchOptions(to=["moment"], k=99)).hits:
        assert hit.end_seconds is not None
        assert hit.end_seconds <= hit.metadata["duration_seconds"] + 0.1


def test_the_command_takes_a_folder(
    indexed: Collection, space: Space, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    every_span: None,
) -> None:  # fmt: skip
    import json

    from cli.main import app

    write_hammer(tmp_path, digest=space.digest, dim=space.dim)
    app(
        ["search", str(indexed.root), "a red star", "--to", "video", "--to", "moment", "-k", "3",
         "--localizer", f"hammer:{tmp_path}", "--format", "json", "--device", "cpu"],
        standalone_mode=False,
    )  # fmt: skip
    hits = json.loads(capsys.readouterr().out)["hits"]
    assert len(hits) == 3
    assert all(0 < hit["score"] <= 1 for hit in hits)


class ManyMoments(SimilarityLocalizer):
    """Finds forty moments in whatever it reads."""

    def localize(self, query: MomentQuery, items: Sequence[TimedRows]) -> list[list[ScoredSpan]]:
        return [[(n / 4, n / 4 + 0.25, 1 / (n + 1)) for n in range(40)] for _ in items]


def test_more_moments_than_there_are_items(indexed: Collection) -> None:
    searcher = Searcher(indexed.snapshot, indexed.encoder, (ManyMoments(),))
    video = indexed.search("a red star", to=["video"], k=1)[0].item_id
    where = f"item_id = {video}"
    hits = searcher.search(
        "a red star", SearchOptions(to=["video", "moment"], k=50, where=where)
    ).hits
    assert len(indexed.snapshot.item_ids()) < len(hits) == 40
    assert len(searcher.search("a red star", SearchOptions(to=["video"], k=50)).hits) == 3


class Probable(SimilarityLocalizer):
    """Finds the same spans in whatever it reads, as a Hammer scores them."""

    def localize(self, query: MomentQuery, items: Sequence[TimedRows]) -> list[list[ScoredSpan]]:
        first = [(0.0, 2.0, 0.7), (4.0, 6.0, 0.2), (8.0, 9.0, 0.002), (10.0, 11.0, 1e-8)]
        return [first, *([(0.0, 1.0, 1e-8)] for _ in items[1:])]


def probable(indexed: Collection, likely_score: float) -> Searcher:
    localizer = Probable(gives_probabilities=True, likely_score=likely_score)
    return Searcher(indexed.snapshot, indexed.encoder, (localizer,))


def test_field_22_padding_is_not_an_answer_and_every_span_is_judged(
    indexed: Collection, space: Space
) -> None:
    (best,) = indexed.answer("a red star", to="video", k=1, spaces=space.name).hits
    asked = {"to": [Target.VIDEO, Target.MOMENT], "k": 50, "spaces": [space.name]}
    hits = probable(indexed, 0.5).search("a red star", SearchOptions(**asked)).hits
    assert [hit.score for hit in hits] == [0.7, 0.2, 0.002, 1e-8, 1e-8]
    assert {hit.item_id for hit in hits[:3]} == {best.item_id}
    assert len({hit.item_id for hit in hits}) == 3, "every video keeps its best moment"
    assert [hit.likely for hit in hits] == [best.likely, False, False, False, False]
    kept = probable(indexed, 0.5).search("a red star", SearchOptions(cutoff=True, **asked)).hits
    assert [hit.score for hit in kept] == [0.7] * best.likely
    assert not probable(indexed, 0.8).search("a red star", SearchOptions(cutoff=True, **asked)).hits


def test_field_22_a_span_of_an_unlikely_item_is_unlikely(indexed: Collection, space: Space) -> None:
    nothing = "the annual report of an insurance company"
    (item,) = indexed.answer(nothing, to="video", k=1, spaces=space.name).hits
    asked = {"to": [Target.VIDEO, Target.MOMENT], "k": 1, "spaces": [space.name]}
    (first,) = probable(indexed, 0.5).search(nothing, SearchOptions(**asked)).hits
    assert first.likely is item.likely


def test_field_22_the_best_guess_stays_if_nothing_is_probable(
    indexed: Collection, space: Space
) -> None:
    class Nothing(Probable):
        def localize(
            self, query: MomentQuery, items: Sequence[TimedRows]
        ) -> list[list[ScoredSpan]]:
            return [[(0.0, 1.0, 1e-8), (1.0, 2.0, 1e-9)] for _ in items]

    localizer = Nothing(gives_probabilities=True, likely_score=0.5)
    searcher = Searcher(indexed.snapshot, indexed.encoder, (localizer,))
    asked = {"to": [Target.VIDEO, Target.MOMENT], "k": 50, "spaces": [space.name]}
    hits = searcher.search("a red star", SearchOptions(**asked)).hits
    assert [(hit.score, hit.likely) for hit in hits] == [(1e-8, False)] * 3
