from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.index_contract import DIM, brute_force, unit_vectors
from indexes import tuning
from indexes.building import build_approximate, build_exact
from indexes.effort import Effort
from indexes.faiss import FaissIndex
from indexes.tuning import QuerySample, TuningOptions, latencies, recall, tune


def index_of(vectors: NDArray[np.float32], factory: str | None, effort: Effort | None = None):
    exact = build_exact([vectors], vectors.shape[1])
    part = build_approximate(factory, vectors, [vectors]) if factory else None
    return FaissIndex(exact, part, effort)


@pytest.fixture
def vectors() -> NDArray[np.float32]:
    return unit_vectors(2_000)


def test_truth_equals_brute_force_without_own_row(
    vectors: NDArray[np.float32],
) -> None:
    index, own = index_of(vectors, None), np.array([3, 700])
    sample = QuerySample.measure(index, vectors[own], own)
    want = brute_force(vectors, vectors[own], 101)[0][:, 1:]
    np.testing.assert_allclose(sample.truth, want, atol=2e-3)  # rows are float16
    texts = QuerySample.measure(index, unit_vectors(4, seed=9))
    np.testing.assert_allclose(
        texts.truth, brute_force(vectors, unit_vectors(4, seed=9), 100)[0], atol=2e-3
    )


def test_recall_is_share_of_exact_neighbours(vectors: NDArray[np.float32]) -> None:
    """Computed from both answers, without the row itself."""
    index, own = index_of(vectors, "IVF40,SQ8", Effort(1, 200)), np.arange(0, 2_000, 31)
    shares = []
    for row in own:
        query = vectors[row : row + 1]
        want = [i for i in index.search(query, 11, exact=True)[1][0] if i != row][:10]
        got = [i for i in index.search(query, 11)[1][0] if i != row][:10]
        shares.append(len(set(want) & set(got)) / 10)
    assert 0 < np.mean(shares) < 1
    sample = QuerySample.measure(index, vectors[own], own)
    assert recall(index, sample, 10) == pytest.approx(np.mean(shares), abs=1e-6)


def test_equal_vectors_are_interchangeable() -> None:
    """Any ten of forty equal rows are a perfect answer."""
    vectors = np.concatenate([np.repeat(unit_vectors(1), 40, axis=0), unit_vectors(60, seed=2)])
    index, own = index_of(vectors, "HNSW8,SQ8", Effort(200, 100)), np.arange(5)
    assert recall(index, QuerySample.measure(index, vectors[own], own), 10) == 1.0


def test_recall_without_answers_is_one() -> None:
    one = index_of(unit_vectors(1), None)
    assert recall(one, QuerySample.measure(one, unit_vectors(1), np.array([0])), 10) == 1.0
    few = index_of(unit_vectors(3), None)
    assert recall(few, QuerySample.measure(few, unit_vectors(0)), 10) == 1.0
    assert recall(few, QuerySample.measure(few, unit_vectors(2, seed=1)), 10) == 1.0


@pytest.mark.parametrize("factory", ["IVF32,SQ8", "IVF32,PQ16x4fs", "HNSW8,SQ8", "IVF32,RaBitQ"])
def test_best_effort_reaches_target_for_both_kinds_of_query(
    vectors: NDArray[np.float32], factory: str
) -> None:
    index, own = index_of(vectors, factory), np.arange(0, 2_000, 20)
    samples = {
        "text": QuerySample.measure(index, unit_vectors(100, seed=5)),
        "media": QuerySample.measure(index, vectors[own], own),
    }
    tuned = tune(index, samples, 0.9)
    assert tuned.reached
    assert tuned.best.effort is not None
    found = index.with_effort(tuned.best.effort)
    for kind, sample in samples.items():
        # Tuning re-ranks proposals; searching the index gives the same recall.
        assert recall(found, sample, 10) == pytest.approx(tuned.best.recall[kind], abs=0.03)
        assert tuned.best.recall[kind] >= 0.9


def test_recall_increases_with_effort(vectors: NDArray[np.float32]) -> None:
    index = index_of(vectors, "IVF64,SQ8")
    samples = {"text": QuerySample.measure(index, unit_vectors(50, seed=5))}
    points = tune(index, samples, 1.0, TuningOptions(full_curve=True)).points
    visited = [point.effort.visited for point in points if point.effort]
    assert visited == sorted(set(visited))
    assert visited[0] == 1
    shares = [point.recall["text"] for point in points]
    assert all(b >= a - tuning.MIN_RECALL_GAIN for a, b in pairwise(shares))


def test_binary_search_finds_same_effort_as_full_curve(
    vectors: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The speed depends only on the effort."""
    monkeypatch.setattr(tuning, "_speed", lambda index, samples: 1 / index.effort.visited)
    index = index_of(vectors, "IVF64,SQ8")
    samples = {"text": QuerySample.measure(index, unit_vectors(50, seed=5))}
    for target in (0.3, 0.6, 0.9, 0.99):
        quick, full = (
            tune(index, samples, target, TuningOptions(full_curve=full_curve))
            for full_curve in (False, True)
        )
        assert quick.best == full.best
        assert quick.reached
        assert full.reached
    assert len(quick.points) < len(full.points)


def test_unreachable_target_returns_highest_recall(monkeypatch: pytest.MonkeyPatch) -> None:
    """One-byte codes hardly distinguish sixty rows."""
    monkeypatch.setattr(tuning, "CANDIDATES", (10, 50))
    vectors = unit_vectors(3_000)
    index = index_of(vectors, "IVF1,PQ2x4fs")
    samples = {"text": QuerySample.measure(index, unit_vectors(40, seed=3))}
    tuned = tune(index, samples, 0.99)
    assert not tuned.reached
    assert tuned.best.recall["text"] == max(point.recall["text"] for point in tuned.points)
    assert tuned.best.effort == Effort(1, 50)


def test_candidates_are_limited_by_root_of_growth(
    vectors: NDArray[np.float32],
) -> None:
    """Fifty candidates of 2,000 rows correspond to 1,600 of a thousand times as many rows."""
    index = index_of(vectors, "IVF1,PQ8x4fs")
    samples = {"text": QuerySample.measure(index, unit_vectors(40, seed=3))}
    free = tune(index, samples, 0.9).best.effort
    assert free is not None
    growth = (tuning.CANDIDATES[-1] / free.candidates) ** 2
    assert tune(index, samples, 0.9, TuningOptions(growth=growth)).best.effort == free
    bounded = tune(index, samples, 0.9, TuningOptions(growth=1.1 * growth))
    assert not bounded.reached
    assert bounded.best.effort is not None
    assert bounded.best.effort.candidates < free.candidates
    assert tune(index, samples, 0.9, TuningOptions(growth=1e9)).best.effort == Effort(
        1, tuning.CANDIDATES[0]
    )


def test_as_many_candidates_are_timed_as_the_final_rows_need(
    vectors: NDArray[np.float32],
) -> None:
    index = index_of(vectors, "IVF1,PQ8x4fs")
    samples = {"text": QuerySample.measure(index, unit_vectors(40, seed=3))}
    timed: list[int] = []

    def prepare(index: FaissIndex) -> FaissIndex:
        timed.append(index.effort.candidates)
        return index

    for growth in (1.0, 4.0, 1e4):
        needed = tune(index, samples, 0.5, TuningOptions(growth=growth, prepare=prepare)).best
        assert needed.effort is not None
        assert timed[-1] == min(2_000, round(needed.effort.candidates * growth**0.5))


def test_exact_search_has_no_effort(vectors: NDArray[np.float32]) -> None:
    index = index_of(vectors, None)
    samples = {"text": QuerySample.measure(index, unit_vectors(10, seed=5))}
    tuned = tune(index, samples, 0.95)
    assert (tuned.reached, tuned.best.effort, tuned.best.recall) == (True, None, {"text": 1.0})


def test_latencies_measure_complete_batches(vectors: NDArray[np.float32]) -> None:
    index = index_of(vectors, None)
    for at_once in (1, 8):
        median, late = latencies(index, unit_vectors(20, seed=1), at_once)
        assert 0 < median <= late


def test_queries_of_another_dimension_fail(vectors: NDArray[np.float32]) -> None:
    index = index_of(vectors, None)
    with pytest.raises(ValueError, match=f"the index holds {DIM}-d"):
        QuerySample.measure(index, np.ones((2, DIM + 1), np.float32))
