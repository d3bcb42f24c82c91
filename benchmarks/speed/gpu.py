"""Times exact and approximate search on a GPU, compared with plain torch on the same GPU.

One run measures the memory and matrix throughput of the GPU, exact search by the engine and by a
plain matrix product with top-k, CAGRA and IVF-PQ, and the CPU.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.results.outcome import Result
from benchmarks.speed import SUITE
from benchmarks.speed.gap import GapRows
from benchmarks.speed.gpu_approximate import approximate_results
from benchmarks.speed.harness import Sample, Way, in_turns, row, seconds
from indexes.building import build_exact
from indexes.errors import DeviceError
from indexes.faiss import FaissIndex
from indexes.gpu import visible_gpus
from indexes.gpu_exact import TorchExact
from indexes.gpu_scores import product

logger = logging.getLogger(__name__)

ROWS = (1_000_000, 10_000_000, 100_000_000)
DIM, K = 512, 10
BATCHES = (1, 32, 1_024)

HOST_ROWS = 1_000_000
"""Rows in host memory: streamed, searched on the CPU, and in approximate indexes."""

CROSSOVER_ROWS = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
REPEATS = 9
CHECKED_QUERIES = 16

PLAIN_SCORES = 1 << 32
"""Maximum number of scores of plain torch, 8 GiB. More rows are searched in parts."""

COPIED_BYTES, MATRIX_SIZE = 4 << 30, 8_192
"""Sizes for measuring throughput, far beyond any cache."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """Peak throughput of a device: memory copies, counted twice, and matrix products."""

    bytes_per_second: float
    flops: float


def run(*, scale: float = 1.0) -> list[Result]:
    """Measure on the first GPU.

    Raises:
        DeviceError: No GPU is available.
    """
    if not visible_gpus():
        raise DeviceError(
            "the benchmark `gpu` needs a CUDA device that FAISS and torch can use; none was found"
        )
    device = torch.device("cuda:0")
    peaks = measure_peaks(device)
    name = torch.cuda.get_device_name(device)
    results = [
        Result(SUITE, f"gpu {name}", "GB/s of memory, copied", peaks.bytes_per_second / 1e9),
        Result(SUITE, f"gpu {name}", "TFLOP/s of float16 matrices", peaks.flops / 1e12),
    ]
    for full in ROWS:
        rows = max(10_000, round(full * scale))
        if 2 * rows * DIM + 3 * 2 * PLAIN_SCORES > torch.cuda.mem_get_info(device)[0]:
            logger.warning("%d rows do not fit into the free GPU memory: left out", rows)
            continue
        logger.info("exact search in %d rows", rows)
        results += exact_results(generate_rows(rows, device), peaks)
        torch.cuda.empty_cache()
    count = max(10_000, round(HOST_ROWS * scale))
    logger.info("generating %d rows with a modality gap", count)
    corpus = GapRows(count, DIM)
    host = np.concatenate(list(corpus.blocks()))
    texts = corpus.texts(BATCHES[-1])
    logger.info("streaming them, and searching them on the CPU")
    results += streamed_results(host, texts, device)
    results += crossover_results(host, texts, device)
    return results + approximate_results(host, texts)


def measure_peaks(
    device: torch.device, *, copied_bytes: int = COPIED_BYTES, size: int = MATRIX_SIZE
) -> Peaks:
    """Measure copies of a large tensor and products of two large float16 matrices."""
    source = torch.zeros(copied_bytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    matrix = torch.randn(size, size, device=device).half()
    actions = {"copy": lambda: target.copy_(source), "multiply": lambda: matrix @ matrix}
    samples = times(actions, device)
    return Peaks(
        2 * copied_bytes / samples["copy"].median, 2 * size**3 / samples["multiply"].median
    )


def times(
    actions: Mapping[str, Callable[[], object]], device: torch.device, repeats: int = REPEATS
) -> dict[str, Sample]:
    """Time actions until the device is done, in turns, after two warm-up turns."""
    ways = {name: _until_done(action, device) for name, action in actions.items()}
    return in_turns(ways, repeats, warm_ups=2)


def _until_done(action: Callable[[], object], device: torch.device) -> Way:
    def work() -> None:
        action()
        _wait(device)

    def way(turn: int) -> float:
        _wait(device)
        return seconds(work)

    return way


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def generate_rows(rows: int, device: torch.device, dim: int = DIM) -> Tensor:
    """Generate (rows, dim) float16 unit rows around a common axis on the device."""
    generator = torch.Generator(device).manual_seed(0)
    generated = torch.empty((rows, dim), dtype=torch.float16, device=device)
    for block in torch.split(generated, 1 << 20):
        drawn = torch.randn(block.shape, generator=generator, device=device)
        drawn[:, 0] += dim**0.5
        block.copy_(torch.nn.functional.normalize(drawn))
    return generated


def generate_queries(count: int, dim: int = DIM) -> NDArray[np.float32]:
    """Generate (count, dim) queries around another axis, like texts in a media space."""
    drawn = np.random.default_rng(1).standard_normal((count, dim), np.float32)
    drawn[:, 1] += dim**0.5
    return drawn


def plain_search(rows: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Search with plain torch: a matrix product and top-k in float16."""
    step = max(1, PLAIN_SCORES // len(queries))
    parts = [(queries @ part.T).topk(min(k, len(part))) for part in torch.split(rows, step)]
    if len(parts) == 1:
        return parts[0].values, parts[0].indices
    scores = torch.cat([part.values for part in parts], dim=1)
    ids = torch.cat([part.indices + step * i for i, part in enumerate(parts)], dim=1)
    best = scores.topk(k)
    return best.values, ids.gather(1, best.indices)


def exact_results(rows: Tensor, peaks: Peaks, batches: tuple[int, ...] = BATCHES) -> list[Result]:
    """Compare each batch size with plain torch and with the peak throughput of the device.

    Times of the engine include checks of the queries and transfers in both directions; those of
    plain torch do not.
    """
    index = TorchExact(rows, rows.device)
    count, dim = rows.shape
    results = []
    for batch in batches:
        queries = generate_queries(batch, dim)
        index_for_device = torch.from_numpy(queries).to(rows.device).half()
        samples = times(
            {
                "ours": partial(index.search, queries, K),
                "plain": partial(plain_search, rows, index_for_device, K),
            },
            rows.device,
        )
        ours, plain = samples["ours"], samples["plain"]
        task = f"exact {count:,} × {dim}, batch {batch:,}"
        read = ours.per(2 * count * dim / peaks.bytes_per_second)
        flops = ours.per(2 * count * dim * batch / peaks.flops)
        goal = 1.5 if batch == BATCHES[-1] else None
        results += [
            row(task, "times as fast as torch", plain / ours, goal),
            row(task, "milliseconds", ours.times(1e3), baseline=plain.median * 1e3),
        ]
        if batch == 1:
            results.append(row(task, "share of memory bandwidth", read, 0.8))
            for width in (1, 8):
                # The throughput of the product alone, and with padded queries.
                padded = index_for_device.expand(width, -1).contiguous()
                alone = times({"product": partial(product, padded, rows)}, rows.device)["product"]
                share = alone.per(2 * count * dim / peaks.bytes_per_second)
                results.append(row(task, f"the same, product of {width} alone", share))
        if batch == BATCHES[-1]:
            results.append(row(task, "share of matrix rate", flops, 0.25))
    checked = generate_queries(CHECKED_QUERIES, dim)
    task = f"exact {count:,} × {dim}"
    results.append(
        Result(SUITE, task, "recall@10 against float32", exactness(index, rows, checked), 1.0)
    )
    results.append(Result(SUITE, task, "queries answered twice", float(index.unproven_queries)))
    return results


def exactness(index: TorchExact, rows: Tensor, queries: NDArray[np.float32]) -> float:
    """Compute the share of answers with one of the ten best scores in float32."""
    ids = index.search(queries, K)[1]
    unit = torch.nn.functional.normalize(torch.from_numpy(queries).to(rows.device))
    best = torch.full((len(unit), K), -torch.inf, device=rows.device)
    for part in torch.split(rows, 1 << 20):
        # Full float32: torch disables TensorFloat32 by default.
        best = torch.cat([best, unit @ part.float().T], dim=1).topk(K).values
    answers = rows[torch.from_numpy(ids).to(rows.device)].float()
    scores = torch.einsum("qd,qkd->qk", unit, answers)
    return float((scores >= best[:, -1:] - 1e-5).float().mean())


def streamed_results(
    host: NDArray[np.float16], texts: NDArray[np.float32], device: torch.device
) -> list[Result]:
    """Measure rows that are transferred to the device for every search."""
    index = TorchExact(host, device, resident=False)
    sample = times({"ours": lambda: index.search(texts, K)}, device, repeats=3)["ours"]
    task = f"exact {len(host):,} × {host.shape[1]}, streamed, batch {len(texts):,}"
    return [
        row(task, "milliseconds", sample.times(1e3)),
        row(task, "GB/s", sample.per(host.nbytes / 1e9)),
    ]


def crossover_results(
    host: NDArray[np.float16], texts: NDArray[np.float32], device: torch.device
) -> list[Result]:
    """Find the smallest number of rows from which the device is faster than the CPU."""
    results = []
    for batch in BATCHES[:2]:
        queries, faster_from = texts[:batch], None
        for rows in (count for count in CROSSOVER_ROWS if count <= len(host)):
            cpu = FaissIndex(build_exact([host[:rows]], host.shape[1]))
            gpu = TorchExact(host[:rows], device)
            samples = times(
                {"gpu": partial(gpu.search, queries, K), "cpu": partial(cpu.search, queries, K)},
                device,
            )
            on_gpu, on_cpu = samples["gpu"], samples["cpu"]
            task = f"exact {rows:,} × {host.shape[1]}, batch {batch:,}, the CPU beside it"
            results.append(
                row(task, "milliseconds", on_gpu.times(1e3), baseline=on_cpu.median * 1e3)
            )
            if on_gpu.median >= on_cpu.median:
                faster_from = None
            elif faster_from is None:
                faster_from = rows
        metric = "rows from which the GPU is faster"
        results.append(Result(SUITE, f"exact, batch {batch:,}", metric, faster_from))
    return results
