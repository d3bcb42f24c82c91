"""Scores do not depend on the implementation that computes them."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

import indexes.exact
from contracts.index_contract import unit_vectors
from indexes.building import build_approximate, build_exact
from indexes.effort import Effort
from indexes.exact import exact_search
from indexes.faiss import FaissIndex
from indexes.gpu_approximate import GpuApproximateIndex
from indexes.gpu_exact import ShardedExact, TorchExact
from indexes.protocol import VectorIndex
from indexes.scoring import exact_scores, exact_scores_by_id, round_to_grid, score_error_bound
from support.gpus import CpuGpus

ROOT = Path(__file__).resolve().parents[2]
DIM, ROWS = 96, 3_000


def equal_rows() -> NDArray[np.float32]:
    """A third of the rows are copies of ten rows; 40 rows differ by one float16 step."""
    rng = np.random.default_rng(7)
    vectors = unit_vectors(ROWS, DIM, seed=3)
    vectors[rng.permutation(ROWS)[: ROWS // 3]] = vectors[rng.integers(0, 10, ROWS // 3)]
    near = np.repeat(vectors[11:12].astype(np.float16), 40, axis=0)
    near[:, 0] += np.arange(40) * np.spacing(near[0, 0])
    vectors[500:540] = near
    return vectors


def asked() -> NDArray[np.float32]:
    """Random queries, and queries near rows with copies."""
    vectors, general = equal_rows(), np.random.default_rng(8).normal(size=(40, DIM))
    return np.concatenate([general, vectors[:12] + 0.05 * general[:12], vectors[500:501]])


def by_fractions(queries: NDArray[np.float32], rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scores in integer arithmetic, without rounding."""
    left, right = (np.rint(round_to_grid(x) * 2**26).astype(np.int64) for x in (queries, rows))
    sums = [[sum(a * b for a, b in zip(x, y, strict=True)) for y in right.tolist()]
            for x in left.tolist()]  # fmt: skip
    return np.array(sums, object).astype(np.float64).astype(np.float32) / np.float32(2**52)


def test_scores_equal_integer_arithmetic() -> None:
    queries = unit_vectors(3, DIM, seed=1) + np.float32(1e-9)
    rows = unit_vectors(20, DIM, seed=2)
    want = by_fractions(queries, rows)
    np.testing.assert_array_equal(exact_scores(queries, rows), want)
    np.testing.assert_array_equal(exact_scores(queries, rows.astype(np.float16)), want)
    ids = np.arange(20)[None].repeat(3, axis=0)
    np.testing.assert_array_equal(exact_scores_by_id(queries, rows, ids), want)


@pytest.mark.parametrize("dim", [1, 3, 24, 512, 1_152, 4_096])
def test_scores_do_not_depend_on_summation_order(dim: int) -> None:
    rng = np.random.default_rng(dim)
    queries, rows = (rng.normal(size=(count, dim)) for count in (5, 60))
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    want = exact_scores(queries, rows)
    for _ in range(10):
        order, some = rng.permutation(dim), rng.permutation(60)
        got = exact_scores(queries[:, order], rows[some][:, order])
        np.testing.assert_array_equal(got, want[:, some])


@pytest.mark.parametrize("dim", [1, 3, 24, 512, 4_096])
def test_float32_scores_are_within_error_bound(dim: int) -> None:
    """Numbers of equal sign give the largest rounding errors."""
    rng = np.random.default_rng(dim)
    for queries, rows in (
        (rng.normal(size=(20, dim)), rng.normal(size=(300, dim))),
        (rng.random((20, dim)), rng.random((300, dim))),
    ):
        one, many = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, rows))
        unit, half = one.astype(np.float32), many.astype(np.float16)
        want, wide = exact_scores(unit, half), half.astype(np.float32)
        one_by_one = np.add.accumulate(unit[:, None] * wide, axis=2)[:, :, -1]
        for rough in (unit @ wide.T, one_by_one):
            assert np.abs(rough - want.astype(np.float64)).max() < score_error_bound(dim)


def faiss_index(vectors: NDArray[np.float32], factory: str | None = None) -> FaissIndex:
    part = None if factory is None else build_approximate(factory, vectors, [vectors])
    return FaissIndex(build_exact([vectors], DIM), part, Effort(1_000, 3_000) if part else None)


WAYS: dict[str, Callable[[NDArray[np.float32]], VectorIndex]] = {
    "scan": faiss_index,
    "lists": lambda vectors: faiss_index(vectors, "IVF16,Flat"),
    "torch": lambda vectors: TorchExact(vectors.astype(np.float16), "cpu"),
    "shards": lambda vectors: ShardedExact(vectors.astype(np.float16), ["cpu"] * 3, [2, 1, 3]),
    "placed": lambda vectors: GpuApproximateIndex(
        faiss_index(vectors, "IVF16,Flat"), CpuGpus((0,))
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("k", [1, 7, 60, 1_200])
def test_all_indexes_give_equal_rows_equal_scores_and_rank_by_row(way: str, k: int) -> None:
    """Answers equal NumPy's bit for bit, for single queries and batches."""
    vectors, queries = equal_rows(), asked()
    want = exact_search(vectors.astype(np.float16), queries, k)
    index = WAYS[way](vectors)
    together = index.search(queries, k)
    single = [index.search(query[None], k) for query in queries]
    for number in range(2):
        np.testing.assert_array_equal(together[number], want[number])
        np.testing.assert_array_equal(np.concatenate([one[number] for one in single]), want[number])
    for scores, ids in zip(*together, strict=True):
        ties = np.diff(scores) == 0
        assert (np.diff(ids)[ties] > 0).all()


@pytest.mark.parametrize("every", [1, 2, 40])
def test_masks_do_not_change_scores(every: int) -> None:
    vectors, queries = equal_rows(), asked()
    allowed = np.arange(ROWS) % every == 0
    want = exact_search(vectors[allowed].astype(np.float16), queries, 20)
    for build in WAYS.values():
        scores, ids = build(vectors).search(queries, 20, allowed=allowed)
        np.testing.assert_array_equal(scores, want[0])
        np.testing.assert_array_equal(ids, np.flatnonzero(allowed)[want[1]])
    selection = faiss_index(vectors).select(allowed)
    for query in (queries, queries[:1]):
        scores, ids = faiss_index(vectors).search(query, 20, allowed=selection)
        np.testing.assert_array_equal(scores, want[0][: len(query)])


def test_block_size_and_threads_do_not_change_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, queries = equal_rows(), asked()
    want = exact_search(vectors, queries, 30)
    for block in (30, 77, 1_024):
        monkeypatch.setattr(indexes.exact, "BLOCK_ROWS", block)
        monkeypatch.setattr(indexes.exact, "BLOCK_QUERIES", block // 10)
        np.testing.assert_array_equal(exact_search(vectors, queries, 30), want)
    index, found = faiss_index(vectors), []
    before = faiss.omp_get_max_threads()
    try:
        for threads in (1, 2, 5):
            faiss.omp_set_num_threads(threads)
            np.testing.assert_array_equal(index.search(queries[:9], 30)[1], want[1][:9])
    finally:
        faiss.omp_set_num_threads(before)
    threads = [
        threading.Thread(target=lambda: found.append(index.search(queries[:9], 30)[0]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for scores in found:
        np.testing.assert_array_equal(scores, want[0][:9])


ANSWERS = """
import hashlib, sys
import numpy as np
from indexes.building import build_exact
from indexes.exact import exact_search
from indexes.faiss import FaissIndex

rng = np.random.default_rng(0)
vectors = rng.integers(-300, 300, (4_000, 72)).astype(np.float32) / 2_048
vectors[rng.permutation(4_000)[:1_500]] = vectors[rng.integers(0, 9, 1_500)]
queries = rng.integers(-9_999, 9_999, (30, 72)).astype(np.float64) / 7
found = exact_search(vectors, queries, 50)
index = FaissIndex(build_exact([vectors], 72))
for other in (index.search(queries, 50), index.search(queries[:3], 50)):
    for a, b in zip(found, other):
        assert np.array_equal(a[: len(b)], b)
print(hashlib.sha256(b"".join(part.tobytes() for part in found)).hexdigest())
"""

KERNELS = (
    {},
    {"OPENBLAS_CORETYPE": "Nehalem", "FAISS_SIMD_LEVEL": "NONE", "OMP_NUM_THREADS": "1"},
    {"NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX", "OMP_NUM_THREADS": "3"},
)


def test_processor_kernels_do_not_change_answers() -> None:
    found = set()
    for named in KERNELS:
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", ANSWERS],
            env={**os.environ, **named},
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        assert ran.returncode == 0, ran.stderr
        found.add(ran.stdout)
    assert len(found) == 1
