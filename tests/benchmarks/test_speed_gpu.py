"""The benchmark's code runs on the CPU with next to no rows; its figures need a GPU."""

import numpy as np
import pytest
import torch

from benchmarks.speed import gpu, gpu_approximate
from benchmarks.speed.gap import GapRows
from indexes.errors import DeviceError
from indexes.gpu_exact import TorchExact
from support.gpus import CpuGpus

CPU = torch.device("cpu")


def test_without_a_gpu_it_fails_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "visible_gpus", lambda: ())
    with pytest.raises(DeviceError, match="needs a CUDA device"):
        gpu.run()


def test_plain_torch_finds_the_same_in_one_piece_and_in_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = gpu.generate_rows(2_000, CPU, dim=32)
    assert torch.allclose(rows.float().norm(dim=1), torch.ones(2_000), atol=1e-3)
    queries = torch.from_numpy(gpu.generate_queries(3, 32))
    whole = gpu.plain_search(rows.float(), queries, 10)
    monkeypatch.setattr(gpu, "PLAIN_SCORES", 3 * 300)
    pieces = gpu.plain_search(rows.float(), queries, 10)
    assert torch.equal(whole[1], pieces[1])
    ids = TorchExact(rows.numpy(), "cpu").search(queries.numpy(), 10)[1]
    np.testing.assert_array_equal(whole[1].numpy(), ids)


def test_exactness_counts_answers_that_are_not_among_the_best() -> None:
    rows = gpu.generate_rows(500, CPU, dim=32)
    queries = gpu.generate_queries(4, 32)
    assert gpu.exactness(TorchExact(rows, CPU), rows, queries) == 1.0
    other = TorchExact(rows.flip(0), CPU)
    assert gpu.exactness(other, rows, queries) < 0.2


def test_exact_search_is_compared_with_torch_and_with_the_peaks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gpu, "REPEATS", 1)
    monkeypatch.setattr(gpu, "BATCHES", (1, 4))
    peaks = gpu.measure_peaks(CPU, copied_bytes=1 << 20, size=64)
    assert peaks.bytes_per_second > 0
    assert peaks.flops > 0
    results = gpu.exact_results(gpu.generate_rows(3_000, CPU, dim=32), peaks, batches=(1, 4))
    by_metric = {(result.task, result.metric): result for result in results}
    one, four = (f"exact 3,000 × 32, batch {batch}" for batch in (1, 4))
    assert {metric for task, metric in by_metric if task == one} == {
        "milliseconds", "times as fast as torch", "share of memory bandwidth",
        "the same, product of 1 alone", "the same, product of 8 alone",
    }  # fmt: skip
    ours = by_metric[four, "milliseconds"]
    # The median of ratios is near the ratio of medians, and need not equal it.
    assert by_metric[four, "times as fast as torch"].value == pytest.approx(
        (ours.baseline or 0) / (ours.value or 1), rel=0.5
    )
    assert by_metric[four, "share of matrix rate"].value == pytest.approx(
        2 * 3_000 * 32 * 4 / ((ours.value or 1) / 1e3) / peaks.flops
    )
    assert by_metric["exact 3,000 × 32", "recall@10 against float32"].value == 1.0
    assert by_metric["exact 3,000 × 32", "queries answered twice"].value == 0.0


def test_streaming_is_compared_with_the_cpu() -> None:
    corpus = GapRows(1_000, 64)
    host, texts = corpus.block(0, 1_000), corpus.texts(8)
    took, rate = gpu.streamed_results(host, texts, CPU)
    assert rate.value == pytest.approx(host.nbytes / (took.value or 1) / 1e6)
    results = gpu.crossover_results(host, texts, CPU)
    assert [result.task for result in results[:2]] == [
        "exact 1,000 × 64, batch 1, the CPU beside it",
        "exact, batch 1",
    ]
    assert results[1].value in (None, 1_000)


def test_indexes_are_searched_at_the_first_setting_that_reaches_the_recall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    corpus = GapRows(600, 32)
    host, texts = corpus.block(0, 600), corpus.texts(20)
    monkeypatch.setattr(gpu_approximate, "REPEATS", 1)
    monkeypatch.setattr(gpu_approximate, "VISITED", (1, 16))
    # In place of 64 codebooks of 256 entries, which take a CPU minutes.
    monkeypatch.setattr(
        gpu_approximate,
        "factories",
        lambda rows: (("IVF-PQ", "IVF16,SQ8", False),),
    )
    built, recall, many, one = gpu_approximate.approximate_results(host, texts, CpuGpus((0,)))
    assert built.metric == "seconds to build"
    assert recall.task == "IVF-PQ 600 × 32, texts, 16 of 16 lists"
    assert (recall.value, recall.goal) == (1.0, 0.95)
    assert (many.value or 0) > 0
    assert (one.value or 0) > 0
