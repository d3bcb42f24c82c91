import re
from collections.abc import Mapping
from typing import Any

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

import retrieval.search.indexing.choice as choice
import retrieval.search.indexing.trials as trials
from benchmarks.speed.gap import GapRows
from indexes.building import build_approximate, build_exact
from indexes.candidates import Candidate
from indexes.errors import IndexBuildError
from indexes.faiss import FaissIndex
from indexes.gpus import FREE_SHARE, WORK_BYTES, innermost_index
from indexes.tuning import QuerySample, TuningOptions, tune
from retrieval.search.indexing.choice import choose, exact_search_reason
from retrieval.search.indexing.deadline import Deadline
from retrieval.search.indexing.request import IndexRequest
from retrieval.search.indexing.trials import Trial
from retrieval.search.indexing.tuning_queries import query_samples
from support.gpus import CpuGpus
from support.messages import logged

ROWS, DIM = 6_000, 64
CORPUS = GapRows(ROWS, DIM)
TEXTS = CORPUS.texts(60)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "EXACT_BELOW_ROWS", 1_000)
    monkeypatch.setattr(trials, "TRIAL_ROWS", 2_000)


@pytest.fixture(scope="module")
def exact() -> FaissIndex:
    return FaissIndex(build_exact(CORPUS.blocks(), DIM))


def sample_queries(index: FaissIndex) -> Mapping[str, QuerySample]:
    return query_samples(index, TEXTS)


def test_few_rows_are_searched_exactly_without_a_trial(
    exact: FaissIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "EXACT_BELOW_ROWS", ROWS + 1)
    chosen = choose(exact, IndexRequest(), sample_queries)
    assert (chosen.factories, chosen.trials) == ((None,), ())


@pytest.mark.long
def test_every_kind_that_fits_is_tested_and_the_fastest_comes_first(
    exact: FaissIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "HOPELESS", 0.0)  # No timing of a busy machine ends a trial.
    tried: list[str] = []

    def progress(task: str, done: float, total: float | None, note: str = "") -> None:
        assert (task, total) == ("index trials", 11)
        tried.append(note)

    chosen = choose(exact, IndexRequest(recall=0.9), sample_queries, progress=progress)
    assert [name[:4] for name in tried] == ["exac", *["IVF1"] * 5, *["HNSW"] * 3]
    assert not any("OPQ" in name for name in tried)  # a kind without a rotation reached it
    assert {trial.factory or "exact search" for trial in chosen.trials} <= set(tried)
    assert all(trial.rows == 2_000 for trial in chosen.trials)
    reached = [trial for trial in chosen.trials if trial.reached]
    assert all(min(trial.recall.values()) >= 0.9 for trial in reached)
    fastest = max(trial.queries_per_second for trial in reached)
    by_name = {(trial.factory or "").replace("IVF128", "IVF256"): trial for trial in chosen.trials}
    first = by_name[chosen.factories[0] or ""]
    assert first.queries_per_second >= choice.NEARLY_FASTEST * fastest
    assert len(chosen.factories) == len(reached)


class FakeTrials:
    """Replaces building and timing: queries a second by kind, for a few rows and for all."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, speeds: dict[str, tuple[float, float]]):
        self.speeds = speeds
        self.tried: list[tuple[str, int]] = []
        monkeypatch.setattr(trials.TrialRunner, "_test", lambda _, *args: self.test(*args))

    def test(self, kind: Candidate, sample: Any, min_speed: float, deadline: object) -> Trial:
        name = (kind.template or "exact").removeprefix("IVF{lists},")
        self.tried.append((name, len(sample.rows)))
        speed = self.speeds.get(name, (0.0, 0.0))[len(sample.rows) == 2_000]
        reached = speed > 0
        recall = {"text": 1.0 if reached else 0.1}
        return Trial(kind.factory(2_000), len(sample.rows), recall, reached, speed, 1.0, 1.0, ())


def test_field_57_graphs_are_last_and_are_first_tested_on_few_rows(
    exact: FaissIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeTrials(
        monkeypatch,
        {
            "exact": (0, 100),
            "SQ8": (0, 300),
            "PQ32x4fs": (0, 1_000),
            "HNSW32": (2_300, 0),
            "HNSW32_SQ8": (3_000, 1_500),
        },
    )
    with logged("retrieval") as lines:
        chosen = choose(exact, IndexRequest(), sample_queries)
    assert fake.tried == [
        ("exact", 2_000), ("SQ8", 2_000), ("RaBitQ", 2_000), ("RaBitQfs", 2_000),
        ("PQ32x4fs", 2_000), ("PQ16x4fs", 2_000),
        ("HNSW32", 250), ("HNSW32_SQfp16", 250), ("HNSW32_SQ8", 250), ("HNSW32_SQ8", 2_000),
    ]  # fmt: skip
    assert chosen.factories[0] == "HNSW32_SQ8"
    assert (
        "HNSW32 is skipped: it answers 2,300 queries a second among 250 rows, "
        "too few to be the fastest among all of the trial"
    ) in lines


def test_field_57_a_slow_kind_that_misses_the_target_is_abandoned(exact: FaissIndex) -> None:
    """All lists would reach it; none is worth visiting more than the least."""
    index = exact.with_approximate(
        build_approximate("IVF64,SQ8", exact.vectors(0, 2_000), [exact.vectors(0, ROWS)])
    )
    samples = sample_queries(exact)
    assert len(tune(index, samples, 0.999, TuningOptions(step=2, full_curve=True)).points) > 2
    options = TuningOptions(step=2, full_curve=True, min_speed=1e12)
    hopeless = tune(index, samples, 0.999, options)
    assert len(hopeless.points) == 1
    assert not hopeless.reached


def test_field_57_choosing_ends_when_its_time_is_used_up(
    exact: FaissIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeTrials(monkeypatch, {"exact": (0, 100), "SQ8": (0, 300)})
    with logged("retrieval") as lines:
        chosen = choose(exact, IndexRequest(), sample_queries, deadline=Deadline(1e-9))
    assert (fake.tried, chosen.factories) == ([("exact", 2_000)], (None,))
    assert "IVF128,SQ8 is not tested: 1e-09 s are used up" in lines
    # If exact search does not fit, the first kind that fits is still tested.
    fake.tried.clear()
    chosen = choose(exact, IndexRequest(memory=600_000), sample_queries, deadline=Deadline(1e-9))
    assert (fake.tried, chosen.factories) == ([("SQ8", 2_000)], ("IVF256,SQ8",))


def test_field_57_exact_search_of_all_rows_is_compared(
    exact: FaissIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = exact.with_approximate(build_approximate("SQ8", TEXTS, [exact.vectors(0, ROWS)]))
    asked: list[tuple[bool, int]] = []
    for scan, reason in ((3.0, None), (1.5, "exact search takes 1.5 ms for all rows, .* 2.0 ms")):
        monkeypatch.setattr(
            choice,
            "_median_ms",
            lambda index, queries, scan=scan: (
                asked.append((index.approximate, len(queries)))
                or (2.0 if index.approximate else scan)
            ),
        )
        why = exact_search_reason(exact, other, TEXTS)
        assert why is None if reason is None else re.match(reason, why or "")
    assert asked == [(False, 20), (True, 20)] * 2


@pytest.mark.long
def test_kinds_beyond_the_memory_are_not_tested(exact: FaissIndex) -> None:
    budget = 64 * 4 * 256 + ROWS * 40
    chosen = choose(exact, IndexRequest(recall=0.8, memory=budget), sample_queries)
    assert all(trial.bytes_per_row <= 30 for trial in chosen.trials)
    smallest = min(one.bytes(ROWS) for one in choice.candidates(DIM))
    chosen = choose(exact, IndexRequest(recall=0.8, memory=smallest), sample_queries)
    assert [trial.factory for trial in chosen.trials] == ["IVF128,RaBitQ"]
    with pytest.raises(IndexBuildError, match="no index of 6,000 rows fits into"):
        choose(exact, IndexRequest(memory=1_000), sample_queries)


def test_exact_search_is_chosen_if_it_reaches_the_latency(exact: FaissIndex) -> None:
    chosen = choose(exact, IndexRequest(latency_ms=10_000.0), sample_queries)
    assert chosen.factories == (None,)
    assert "within 10000 ms" in chosen.reason


def test_the_best_kind_is_chosen_if_none_reaches_the_target(
    exact: FaissIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse = [Candidate("IVF{lists},PQ2x4fs", DIM, 9)]
    monkeypatch.setattr(choice, "candidates", lambda dim: coarse)
    chosen = choose(exact, IndexRequest(recall=0.999), sample_queries)
    assert chosen.factories == ("IVF256,PQ2x4fs",)
    assert chosen.reason == "no kind reached the target in its trial"


class OnGpu:
    """A graph that takes what FAISS's GPU form of it takes."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph

    def search(
        self, queries: NDArray[np.float32], k: int, *, params: Any, numeric_type: int
    ) -> Any:
        assert params.itopk_size % 32 == 0
        assert params.itopk_size >= k
        assert numeric_type == faiss.Float16
        return self._graph.search(queries, k)


class SmallGpus(CpuGpus):
    """With room for 0.6 MB of rows."""

    def free_bytes(self) -> list[int]:
        return [round((WORK_BYTES + 600_000) / FREE_SHARE) for _ in self.numbers]


def test_rows_that_fit_on_a_gpu_are_searched_exactly(exact: FaissIndex) -> None:
    chosen = choose(exact, IndexRequest(), sample_queries, CpuGpus((0,)))
    assert (chosen.factories, chosen.trials) == ((None,), ())
    assert "a GPU searches 6,000 rows exactly" in chosen.reason


def test_rows_beyond_a_gpus_memory_are_compressed_to_it(exact: FaissIndex) -> None:
    """0.77 MB as they are, 0.50 with a byte for a number."""
    chosen = choose(exact, IndexRequest(recall=0.9), sample_queries, SmallGpus((0,)))
    tried = {trial.factory: trial for trial in chosen.trials}
    assert list(tried) == ["IVF128,SQ8", "IVF128,PQ8", "IVF128,PQ4"]
    assert tried["IVF128,SQ8"].reached
    assert set(chosen.factories) <= {"IVF256,SQ8", "IVF256,PQ8", "IVF256,PQ4"}
    with pytest.raises(IndexBuildError, match="fits into"):
        choose(exact, IndexRequest(memory=1_000), sample_queries, SmallGpus((0,)))


@pytest.mark.long
def test_every_gpu_kind_is_tested_for_many_rows(
    exact: FaissIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed: list[str] = []

    class Noting(CpuGpus):
        def to_gpu(self, index: Any, *, shard: bool = False, half: bool = True) -> Any:
            placed.append(type(innermost_index(index)).__name__)
            found = super().to_gpu(index, shard=shard, half=half)
            return (
                OnGpu(found) if isinstance(innermost_index(index), faiss.IndexHNSWCagra) else found
            )

    monkeypatch.setattr(choice, "GPU_EXACT_BELOW_ROWS", ROWS)
    chosen = choose(exact, IndexRequest(recall=0.9), sample_queries, Noting((0,)))
    assert [trial.factory for trial in chosen.trials] == [
        "CAGRA", "IVF128,SQfp16", "IVF128,SQ8", "IVF128,PQ8", "IVF128,PQ4",
    ]  # fmt: skip
    assert {"IndexHNSWCagra", "IndexIVFScalarQuantizer", "IndexIVFPQ"} <= set(placed)
    assert chosen.trials[0].reached
