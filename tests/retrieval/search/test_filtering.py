import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import retrieval.search.filtering as filtering
from retrieval.collection import Collection
from retrieval.errors import FilterError
from retrieval.search.filtering import RowFilter, media_targets
from retrieval.search.items import ItemTable
from retrieval.search.open_space import OpenedSpace
from retrieval.search.options import SearchOptions
from retrieval.search.searcher import Searcher
from retrieval.targets import Target
from retrieval.types import Medium


@pytest.fixture
def part_and_filter(indexed: Collection) -> tuple[OpenedSpace, RowFilter]:
    snapshot = indexed.snapshot
    opened = OpenedSpace(snapshot, snapshot.spaces[0])
    return opened, RowFilter(snapshot, ItemTable(snapshot))


def test_moments_select_media_with_times() -> None:
    assert media_targets([]) == {Target.IMAGE, Target.MUSIC, Target.VIDEO}
    assert media_targets([Target.MOMENT]) == {Target.MUSIC, Target.VIDEO}
    assert media_targets([Target.MOMENT, Target.VIDEO]) == {Target.VIDEO}
    assert media_targets([Target.MOMENT, Target.IMAGE]) == set(Target) - {Target.MOMENT}


def test_a_condition_is_cached_and_the_oldest_is_dropped(
    indexed: Collection,
    part_and_filter: tuple[OpenedSpace, RowFilter],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened, _ = part_and_filter
    (part,) = opened.parts
    asked: list[str] = []
    evaluate = filtering.matching_ids

    def counting(snapshot, where, **columns):
        asked.append(where)
        return evaluate(snapshot, where, **columns)

    monkeypatch.setattr(filtering, "matching_ids", counting)
    monkeypatch.setattr(filtering, "MAX_CONDITIONS", 2)
    rows = RowFilter(indexed.snapshot, ItemTable(indexed.snapshot))
    everything = media_targets([])
    first = rows.select(part, everything, "item_id < 5")
    assert rows.select(part, everything, "item_id < 5") is first
    assert rows.select(part, media_targets([Target.IMAGE]), "item_id < 5") is not first
    assert asked == ["item_id < 5"]
    for where in ("item_id < 6", "item_id < 5", "item_id < 7", "item_id < 6"):
        rows.matching(where)
    assert asked == ["item_id < 5", "item_id < 6", "item_id < 7", "item_id < 6"]


def test_cached_selections_are_limited_in_bytes(
    indexed: Collection,
    part_and_filter: tuple[OpenedSpace, RowFilter],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened, _ = part_and_filter
    (part,) = opened.parts
    everything = media_targets([])
    monkeypatch.setattr(filtering, "MAX_SELECTION_BYTES", 1)
    rows = RowFilter(indexed.snapshot, ItemTable(indexed.snapshot))
    first = rows.select(part, everything, "item_id < 5")
    second = rows.select(part, everything, "item_id < 6")
    assert rows.select(part, everything, "item_id < 6") is second
    assert rows.select(part, everything, "item_id < 5") is not first


def test_a_refused_condition_is_not_cached_and_loads_no_model(indexed: Collection) -> None:
    def no_model(space):
        raise AssertionError(f"{space.name} was loaded")

    searcher = Searcher(indexed.snapshot, no_model)
    for _ in range(2):
        with pytest.raises(FilterError):
            searcher.search("x", SearchOptions(where="nothing = 1"))


def test_the_time_of_the_filter_is_measured(indexed: Collection) -> None:
    searcher = Searcher(indexed.snapshot, indexed.encoder)
    where = "caption LIKE '%red%' OR item_id > 3"
    first, again = (searcher.search("a star", SearchOptions(where=where)).took_ms for _ in range(2))
    assert 0 < again.filter < first.filter


@settings(max_examples=25, deadline=None)
@given(
    low=st.integers(-1, 34),
    high=st.integers(-1, 34),
    step=st.integers(1, 4),
    k=st.integers(1, 40),
    to=st.sets(st.sampled_from([Target.IMAGE, Target.MUSIC, Target.VIDEO])),
)
def test_fault_32_any_condition_and_k_answer_like_brute_force(
    indexed: Collection, low: int, high: int, step: int, k: int, to: set[Target]
) -> None:
    """Over all spaces, the k best items among those that match."""
    where = f"item_id >= {low} AND item_id <= {high} AND item_id % {step} = 0"
    space = next(s for s in indexed.snapshot.spaces if Medium.IMAGE in s.media)
    query = indexed.encoder(space).encode_text(["a red star"])[0]
    targets = media_targets(to)
    best: dict[int, float] = {}
    for batch in indexed.snapshot.iter_items():
        for item_id, modality in zip(
            batch.column("item_id").to_pylist(), batch.column("modality").to_pylist(), strict=True
        ):
            if (
                low <= item_id <= high
                and item_id % step == 0
                and Target({"audio": "music"}.get(modality, modality)) in targets
            ):
                segments = indexed.snapshot.item_segments(space.name, item_id)
                if len(segments.vectors):
                    best[item_id] = float((segments.vectors @ query).max())
    hits = indexed.answer("a red star", to=to, k=k, where=where, spaces=[space.name]).hits
    assert len(hits) == min(k, len(best))
    assert {hit.item_id for hit in hits} <= set(best)
    want = sorted(best.values(), reverse=True)[: len(hits)]
    np.testing.assert_allclose([hit.score for hit in hits], want, atol=2e-3)
