"""`bench speed gpu`: exact and approximate search on a GPU, against plain torch on the same GPU.

Everything is measured in one run: how fast the GPU copies memory and multiplies matrices, exact
search by this engine and by a plain matrix product and top-k, CAGRA and IVF-PQ, and the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.results.tables import Result
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

ROWS = (1_000_000, 10_000_000, 100_000_000)
DIM, K = 512, 10
BATCHES = (1, 32, 1_024)

HOST_ROWS = 1_000_000
"""Rows that lie in the computer's memory: streamed, on the CPU, and in approximate indexes."""

CROSSOVER_ROWS = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
REPEATS = 9
CHECKED_QUERIES = 16

PLAIN_SCORES = 1 << 32
"""Scores that plain torch holds at a time, 8 GiB: more rows are searched piece by piece."""

COPIED_BYTES, MATRIX_SIZE = 4 << 30, 8_192
"""What memory and matrix units are measured with; far beyond any cache."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """What the device reaches at its best: copying memory, counted twice, and multiplying."""

    bytes_per_second: float
    flops: float


def run(*, say: Callable[[str], None], folder: Path, scale: float = 1.0) -> list[Result]:
    """Measure on the first GPU.

    Raises:
        DeviceError: There is none.
    """
    if not visible_gpus():
        raise DeviceError(
            "bench speed gpu needs a CUDA device that FAISS and torch can use; there is none here"
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
            say(f"{rows:,} rows do not fit into the GPU's free memory, left out")
            continue
        say(f"exact search in {rows:,} rows")
        results += exact_results(made_rows(rows, device), peaks)
        torch.cuda.empty_cache()
    count = max(10_000, round(HOST_ROWS * scale))
    say(f"generating {count:,} rows with a modality gap")
    corpus = GapRows(count, DIM)
    host = np.concatenate(list(corpus.blocks()))
    texts = corpus.texts(BATCHES[-1])
    say("streaming them, and searching them on the CPU")
    results += streamed_results(host, texts, device)
    results += crossover_results(host, texts, device)
    return results + approximate_results(host, texts, say)


def measure_peaks(
    device: torch.device, *, copied_bytes: int = COPIED_BYTES, size: int = MATRIX_SIZE
) -> Peaks:
    """Copy a large piece of memory, and multiply two large float16 matrices."""
    piece = torch.zeros(copied_bytes, dtype=torch.uint8, device=device)
    other = torch.empty_like(piece)
    matrix = torch.randn(size, size, device=device).half()
    actions = {"copy": lambda: other.copy_(piece), "multiply": lambda: matrix @ matrix}
    taken = times(actions, device)
    return Peaks(2 * copied_bytes / taken["copy"].median, 2 * size**3 / taken["multiply"].median)


def times(
    actions: Mapping[str, Callable[[], object]], device: torch.device, repeats: int = REPEATS
) -> dict[str, Sample]:
    """Times of actions until the device is done, in turns, after two turns to warm up."""
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


def made_rows(rows: int, device: torch.device, dim: int = DIM) -> Tensor:
    """(rows, dim) float16 unit rows around a common axis, made where they are searched."""
    generator = torch.Generator(device).manual_seed(0)
    made = torch.empty((rows, dim), dtype=torch.float16, device=device)
    for block in torch.split(made, 1 << 20):
        drawn = torch.randn(block.shape, generator=generator, device=device)
        drawn[:, 0] += dim**0.5
        block.copy_(torch.nn.functional.normalize(drawn))
    return made


def made_queries(count: int, dim: int = DIM) -> NDArray[np.float32]:
    """(count, dim) queries around another axis, as texts lie apart from media."""
    drawn = np.random.default_rng(1).standard_normal((count, dim), np.float32)
    drawn[:, 1] += dim**0.5
    return drawn


def plain_search(rows: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """What one writes without an engine: a matrix product and top-k, in float16."""
    step = max(1, PLAIN_SCORES // len(queries))
    found = [(queries @ part.T).topk(min(k, len(part))) for part in torch.split(rows, step)]
    if len(found) == 1:
        return found[0].values, found[0].indices
    scores = torch.cat([part.values for part in found], dim=1)
    ids = torch.cat([part.indices + step * i for i, part in enumerate(found)], dim=1)
    best = scores.topk(k)
    return best.values, ids.gather(1, best.indices)


def exact_results(rows: Tensor, peaks: Peaks, batches: tuple[int, ...] = BATCHES) -> list[Result]:
    """Every batch against plain torch, and against what the device can do at best.

    Times of the engine include checking the queries, their way to the device, and the answers' way
    back; those of plain torch do not.
    """
    index = TorchExact(rows, rows.device)
    count, dim = rows.shape
    results = []
    for batch in batches:
        queries = made_queries(batch, dim)
        there = torch.from_numpy(queries).to(rows.device).half()
        taken = times(
            {
                "ours": partial(index.search, queries, K),
                "plain": partial(plain_search, rows, there, K),
            },
            rows.device,
        )
        ours, plain = taken["ours"], taken["plain"]
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
                # What is lost in the product itself, and whether padding the queries would help.
                padded = there.expand(width, -1).contiguous()
                alone = times({"product": partial(product, padded, rows)}, rows.device)["product"]
                share = alone.per(2 * count * dim / peaks.bytes_per_second)
                results.append(row(task, f"the same, product of {width} alone", share))
        if batch == BATCHES[-1]:
            results.append(row(task, "share of matrix rate", flops, 0.25))
    asked = made_queries(CHECKED_QUERIES, dim)
    task = f"exact {count:,} × {dim}"
    results.append(
        Result(SUITE, task, "recall@10 against float32", exactness(index, rows, asked), 1.0)
    )
    results.append(Result(SUITE, task, "queries answered twice", float(index.unproven_queries)))
    return results


def exactness(index: TorchExact, rows: Tensor, queries: NDArray[np.float32]) -> float:
    """Share of the answers whose score float32 products put among the ten best."""
    found = index.search(queries, K)[1]
    unit = torch.nn.functional.normalize(torch.from_numpy(queries).to(rows.device))
    best = torch.full((len(unit), K), -torch.inf, device=rows.device)
    for part in torch.split(rows, 1 << 20):
        # Not torch's TensorFloat32, which is off unless asked for.
        best = torch.cat([best, unit @ part.float().T], dim=1).topk(K).values
    held = rows[torch.from_numpy(found).to(rows.device)].float()
    scores = torch.einsum("qd,qkd->qk", unit, held)
    return float((scores >= best[:, -1:] - 1e-5).float().mean())


def streamed_results(
    host: NDArray[np.float16], texts: NDArray[np.float32], device: torch.device
) -> list[Result]:
    """Rows that cross to the device for every search."""
    index = TorchExact(host, device, resident=False)
    took = times({"ours": lambda: index.search(texts, K)}, device, repeats=3)["ours"]
    task = f"exact {len(host):,} × {host.shape[1]}, streamed, batch {len(texts):,}"
    return [
        row(task, "milliseconds", took.times(1e3)),
        row(task, "GB/s", took.per(host.nbytes / 1e9)),
    ]


def crossover_results(
    host: NDArray[np.float16], texts: NDArray[np.float32], device: torch.device
) -> list[Result]:
    """The smallest number of rows from which the device answers sooner than the CPU."""
    results = []
    for batch in BATCHES[:2]:
        queries, faster_from = texts[:batch], None
        for rows in (count for count in CROSSOVER_ROWS if count <= len(host)):
            cpu = FaissIndex(build_exact([host[:rows]], host.shape[1]))
            gpu = TorchExact(host[:rows], device)
            taken = times(
                {"gpu": partial(gpu.search, queries, K), "cpu": partial(cpu.search, queries, K)},
                device,
            )
            on_gpu, on_cpu = taken["gpu"], taken["cpu"]
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
