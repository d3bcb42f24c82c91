"""Filtered answers of all kinds of index equal brute force over the allowed rows."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import indexes.selection
from contracts.index_contract import brute_force, unit_vectors
from indexes.building import build_approximate, build_exact
from indexes.faiss import FaissIndex
from indexes.selection import lists_with_mask

ROWS, DIM = 400, 16
KINDS = {
    "exact": 1.0,
    # All lists are visited and all rows are re-ranked.
    "IVF8,SQ8": 1.0,
    "IVF8,Flat": 1.0,
    "IVF8,RaBitQ": 0.9,
    "IVF8,PQ8x4fs": 0.9,
    "HNSW16,SQ8": 0.8,
    "NSG8": 0.8,  # takes no selector
}
"""Kinds of index and their minimum recall@k for any mask."""


@cache
def index_of(kind: str) -> FaissIndex:
    vectors = unit_vectors(ROWS)
    exact = build_exact([vectors], DIM)
    if kind == "exact":
        return FaissIndex(exact)
    return FaissIndex(exact, build_approximate(kind, vectors, [vectors]))


masks = st.one_of(
    # A share of the rows, a range, a few, all but a few.
    st.tuples(st.floats(0, 1, allow_subnormal=False), st.integers(0, 99)).map(
        lambda drawn: np.random.default_rng(drawn[1]).random(ROWS) < drawn[0]
    ),
    st.tuples(st.integers(0, ROWS), st.integers(0, ROWS)).map(
        lambda ends: (np.arange(ROWS) >= min(ends)) & (np.arange(ROWS) < max(ends))
    ),
    st.sets(st.integers(0, ROWS - 1), max_size=4).map(
        lambda rows: np.isin(np.arange(ROWS), list(rows))
    ),
    st.sets(st.integers(0, ROWS - 1), max_size=4).map(
        lambda rows: ~np.isin(np.arange(ROWS), list(rows))
    ),
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(
    mask=masks,
    k=st.integers(1, ROWS + 10),
    seed=st.integers(0, 9),
    copied=st.booleans(),
    prepared=st.booleans(),
)
def test_fault_32_filtered_answers_equal_brute_force(
    kind: str, mask: np.ndarray, k: int, seed: int, copied: bool, prepared: bool
) -> None:
    index, queries = index_of(kind), unit_vectors(3, seed=100 + seed)
    with pytest.MonkeyPatch.context() as patch:
        if not copied:
            patch.setattr(indexes.selection, "COPIED_BYTES", 0)
            patch.setattr(indexes.selection, "GATHERED_SHARE", 0)
        scores, ids = index.search(queries, k, allowed=index.select(mask) if prepared else mask)
    want_scores, want_ids = brute_force(unit_vectors(ROWS), queries, k, mask)
    matching = min(k, int(mask.sum()))
    assert (ids[:, :matching] >= 0).all()
    assert (ids[:, matching:] == -1).all()
    assert mask[ids[:, :matching]].all()
    for line in ids[:, :matching]:
        assert len(set(line.tolist())) == matching
    assert (np.diff(scores[:, :matching]) <= 0).all()
    if not matching:
        return
    found = (scores[:, :matching] >= want_scores[:, matching - 1 : matching] - 1e-5).mean()
    assert found >= KINDS[kind]
    if KINDS[kind] == 1.0:
        np.testing.assert_array_equal(ids[:, :matching], want_ids[:, :matching])


def test_only_small_selections_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_of("exact")
    few, many = np.arange(ROWS) < 5, np.arange(ROWS) < 6
    monkeypatch.setattr(indexes.selection, "COPIED_BYTES", 5 * 2 * DIM)
    chosen = index.select(few)
    assert chosen.ids is not None
    np.testing.assert_array_equal(chosen.ids, np.arange(5))
    assert chosen.bytes == ROWS + ROWS // 8 + 5 * (8 + 2 * DIM)
    assert index.select(many).ids is None
    for share in (0, 1):  # none and all need no copy
        assert index.select(np.full(ROWS, share, dtype=bool)).ids is None


@pytest.mark.parametrize(("share", "visited"), [(1.0, 8), (0.5, 12), (0.25, 16), (0.01, 80)])
def test_visited_lists_increase_as_fewer_rows_are_allowed(share: float, visited: int) -> None:
    assert lists_with_mask(8, share) == visited


def test_mask_of_another_length_fails() -> None:
    with pytest.raises(ValueError, match="expected bool"):
        index_of("exact").select(np.ones(ROWS + 1, dtype=bool))
