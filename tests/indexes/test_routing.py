"""Choosing the lists that a query visits."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.speed.gap import GapRows
from contracts.index_contract import IndexContract, unit_vectors
from indexes.building import build_approximate, build_exact
from indexes.candidates import candidates
from indexes.effort import FIXED_FACTOR, Effort
from indexes.errors import IndexFileError
from indexes.faiss import FaissIndex
from indexes.routing import OPTIMISM, ListRouting, search_lists
from indexes.tuning import QuerySample, recall, tune

DIM = 32
KINDS = [kind.template for kind in candidates(DIM) if kind.template and "IVF" in kind.template]


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float16]:
    return GapRows(6_000, DIM).block(0, 6_000)


@pytest.fixture(scope="module")
def texts() -> NDArray[np.float32]:
    return GapRows(6_000, DIM).texts(200)


@pytest.fixture(scope="module")
def exact(rows: NDArray[np.float16]) -> FaissIndex:
    return FaissIndex(build_exact([rows], DIM))


def part_of(rows: NDArray[np.float16], factory: str = "IVF64,SQ8"):
    return build_approximate(factory, rows, [rows])


def members(part, number: int) -> NDArray[np.int64]:
    lists = faiss.extract_index_ivf(part).invlists
    return faiss.rev_swig_ptr(lists.get_ids(number), lists.list_size(number)).copy()


def test_estimates_are_the_mean_plus_what_the_best_row_exceeds_it_by(
    rows: NDArray[np.float16], texts: NDArray[np.float32]
) -> None:
    part = part_of(rows)
    routing = ListRouting.measure(part, rows, texts[:50])
    assert routing is not None
    found = routing.estimates(texts[50:53])
    for number in range(64):
        scores = rows[members(part, number)].astype(np.float64) @ texts.T.astype(np.float64)
        excess = np.mean([column.max() - column.mean() for column in scores[:, :50].T])
        want = scores[:, 50:53].mean(axis=0) + OPTIMISM * excess
        np.testing.assert_allclose(found[:, number], want, atol=1e-5)


def test_one_query_and_many_have_the_same_estimates(
    rows: NDArray[np.float16], texts: NDArray[np.float32]
) -> None:
    routing = ListRouting.measure(part_of(rows), rows, texts)
    assert routing is not None
    many = routing.estimates(texts)
    for number in (0, 7, 199):
        np.testing.assert_allclose(
            routing.estimates(texts[number, None])[0], many[number], atol=1e-6
        )


def test_empty_lists_are_never_visited(texts: NDArray[np.float32]) -> None:
    rows = np.repeat(unit_vectors(4, DIM), 20, axis=0).astype(np.float16)
    part = part_of(rows, "IVF16,Flat")
    routing = ListRouting.measure(part, rows, texts[:9])
    assert routing is not None
    filled = {number for number in range(16) if len(members(part, number))}
    assert len(filled) < 16
    for margin in (0.0, 1.0, float(np.finfo(np.float32).max)):
        lists = routing.lists(texts[:9], margin)
        assert set(lists[lists >= 0].tolist()) <= filled


def test_margins_give_the_mean_number_of_lists(
    rows: NDArray[np.float16], texts: NDArray[np.float32]
) -> None:
    routing = ListRouting.measure(part_of(rows), rows, texts)
    assert routing is not None
    for visited, margin in zip(
        (1, 5, 40, 64), routing.margins(texts, np.array([1, 5, 40, 64])), strict=True
    ):
        counts = (routing.lists(texts, float(margin)) >= 0).sum(axis=1)
        assert counts.mean() == pytest.approx(visited, abs=0.02)
        assert visited in (1, 64) or counts.min() < counts.max()


def test_lists_are_those_whose_gap_and_rank_are_within_the_margin(
    rows: NDArray[np.float16], texts: NDArray[np.float32]
) -> None:
    routing = ListRouting.measure(part_of(rows), rows, texts)
    assert routing is not None
    margin = float(routing.margins(texts, np.array([9]))[0])
    for number, found in enumerate(routing.lists(texts, margin)):
        estimates = routing.estimates(texts)[number]
        order = np.argsort(-estimates)
        products = (estimates.max() - estimates[order]) * np.sqrt(np.arange(1, 65))
        assert found[found >= 0].tolist() == order[: (products <= margin).sum()].tolist()


@pytest.mark.parametrize("factor", [1.5, 4.0, 1e6])
def test_a_factor_multiplies_the_lists_of_each_query(
    rows: NDArray[np.float16], texts: NDArray[np.float32], factor: float
) -> None:
    routing = ListRouting.measure(part_of(rows), rows, texts)
    assert routing is not None
    few = (routing.lists(texts, 0.1) >= 0).sum(axis=1)
    more = routing.lists(texts, 0.1, factor=factor)
    want = np.minimum(np.ceil(factor * few), 64)
    assert (more >= 0).sum(axis=1).tolist() == want.tolist()
    for number, found in enumerate(more):
        best = np.argsort(-routing.estimates(texts)[number])[: int(want[number])]
        assert found[found >= 0].tolist() == best.tolist()


@pytest.mark.parametrize("template", KINDS)
def test_searching_all_lists_equals_the_search_of_faiss(
    rows: NDArray[np.float16], texts: NDArray[np.float32], template: str
) -> None:
    """Codes of residuals, fast scans and rotations included."""
    part = part_of(rows, template.format(lists=64))
    faiss.extract_index_ivf(part).nprobe = 64
    every = np.tile(np.arange(64), (5, 1))
    want = [set(row) for row in part.search(texts[:5], 20)[1].tolist()]
    shuffled = np.array([np.random.default_rng(n).permutation(64) for n in range(5)])
    for lists in (every, shuffled):
        found = search_lists(part, texts[:5], 20, lists)
        assert [set(row) for row in found.tolist()] == want


def test_only_the_given_lists_are_searched(
    rows: NDArray[np.float16], texts: NDArray[np.float32]
) -> None:
    part = part_of(rows)
    lists = np.array([[3, -1, 5], [-1, -1, 7]])
    for number, wanted in enumerate(([3, 5], [7])):
        ids = np.concatenate([members(part, each) for each in wanted])
        found = search_lists(part, texts[number, None], len(rows), lists[number, None])[0]
        assert sorted(found[found >= 0]) == sorted(ids)


def test_other_indexes_are_not_routed(
    rows: NDArray[np.float16], texts: NDArray[np.float32]
) -> None:
    for factory in ("HNSW8,SQ8", "IVF64_HNSW8,Flat"):
        assert ListRouting.measure(part_of(rows, factory), rows, texts) is None


def test_tuning_reaches_the_target_with_fewer_rows_than_fixed_lists(
    exact: FaissIndex, rows: NDArray[np.float16], texts: NDArray[np.float32]
) -> None:
    part = part_of(rows, "IVF256,SQ8")
    sample = QuerySample.measure(exact, texts)
    routing = ListRouting.measure(part, rows, sample.vectors)
    routed = exact.with_approximate(part, routing=routing)
    fixed = exact.with_approximate(part)
    found = {}
    for name, index in (("routed", routed), ("fixed", fixed)):
        tuning = tune(index, {"text": sample}, 0.95)
        assert tuning.reached
        assert tuning.best.effort is not None
        assert recall(index.with_effort(tuning.best.effort), sample, 10) >= 0.95
        reached = [point.effort.visited for point in tuning.points if point.min_recall >= 0.95]
        found[name] = min(reached)
    assert found["routed"] < found["fixed"]
    assert found["fixed"] <= FIXED_FACTOR * found["routed"]


def test_a_mask_and_more_answers_visit_more_lists(
    exact: FaissIndex, rows: NDArray[np.float16], texts: NDArray[np.float32]
) -> None:
    part = part_of(rows, "IVF256,SQ8")
    routing = ListRouting.measure(part, rows, texts)
    assert routing is not None
    margin = float(routing.margins(texts, np.array([12]))[0])
    index = exact.with_approximate(part, Effort(12, 100, margin), routing)
    plain = QuerySample.measure(exact, texts)
    base = recall(index, plain, 10)
    assert base > 0.8
    assert recall(index, plain, 100) > base - 0.1
    for share in (0.5, 0.1):
        allowed = np.random.default_rng(0).random(len(rows)) < share
        want = exact.search(texts, 10, allowed=allowed)[1]
        got = index.search(texts, 10, allowed=allowed)[1]
        assert allowed[got].all()
        shared = [len(set(a) & set(b)) for a, b in zip(want.tolist(), got.tolist(), strict=True)]
        assert np.mean(shared) / 10 > base - 0.05


def test_a_file_reads_back(
    tmp_path: Path, rows: NDArray[np.float16], texts: NDArray[np.float32]
) -> None:
    part = part_of(rows)
    routing = ListRouting.measure(part, rows, texts)
    assert routing is not None
    routing.write(tmp_path / "lists.npy")
    read = ListRouting.open(tmp_path / "lists.npy", part)
    np.testing.assert_array_equal(read.table, routing.table)
    assert read.lists(texts, 0.2).tolist() == routing.lists(texts, 0.2).tolist()


def test_a_missing_or_damaged_file_is_refused(
    tmp_path: Path, rows: NDArray[np.float16], texts: NDArray[np.float32]
) -> None:
    part, path = part_of(rows), tmp_path / "lists.npy"
    routing = ListRouting.measure(part, rows, texts)
    assert routing is not None
    routing.write(path)
    good = path.read_bytes()
    other = routing.table.copy()
    other[3, 2] = np.nan
    damaged = {
        "cannot be read": [b"", b"nonsense", good[:-5]],
        "is damaged": [],
    }
    for table in (routing.table[1:], routing.table[:, 1:], routing.table.astype(np.float64), other):
        np.save(path, table)
        damaged["is damaged"].append(path.read_bytes())
    for message, contents in damaged.items():
        for content in contents:
            path.write_bytes(content)
            with pytest.raises(IndexFileError, match=message):
                ListRouting.open(path, part)
    path.unlink()
    with pytest.raises(IndexFileError, match=r"lists.npy cannot be read .*; build the index again"):
        ListRouting.open(path, part)


class TestRouted(IndexContract):
    """The contract of all indexes, with every list within the margin."""

    def build(self, vectors: NDArray[np.float32]) -> FaissIndex:
        part = part_of(vectors.astype(np.float16), f"IVF{min(8, len(vectors))},SQ8")
        exact = FaissIndex(build_exact([vectors], vectors.shape[1]))
        routing = ListRouting.measure(part, vectors, vectors[:5])
        return exact.with_approximate(part, Effort(8, 400, 1e9), routing)
