"""Times `embed` on a Ray cluster of this machine, compared with `embed` without one."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from benchmarks.results.outcome import Result
from benchmarks.speed.harness import Way, in_turns, row, seconds
from benchmarks.speed.photographs import write_photographs
from retrieval.embedding.options import EmbedOptions
from retrieval.embedding.run import embed
from retrieval.engines.ray.connection import require_ray
from retrieval.engines.ray.embedding import ClusterOptions, embed_on

logger = logging.getLogger(__name__)

MEGAPIXELS = (0.05, 0.2)
PHOTOGRAPHS = 10_000
WORKERS = (1, 2)
TURNS = 3
GOAL = 1.10


def run(*, folder: Path, scale: float = 1.0) -> list[Result]:
    """Measure one and two workers; a run of one photograph is the time to start."""
    ray = require_ray()
    count = max(8, round(PHOTOGRAPHS * scale))
    photographs = folder / "photographs"
    write_photographs(photographs, count, megapixels=MEGAPIXELS)
    single = folder / "single"
    single.mkdir(parents=True, exist_ok=True)
    shutil.copy(photographs / "00000.jpg", single)
    options = EmbedOptions(models=("tiny-image",), device="cpu")
    logger.info("%d photographs, %d turns", count, TURNS)
    ray.init(address="local", num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False)
    try:
        ways: dict[str, Way] = {}
        for name, source in (("start", single), ("all", photographs)):
            ways[f"plain {name}"] = _plain(folder, source, options)
            for workers in WORKERS:
                ways[f"{workers} {name}"] = _on_ray(folder, source, options, workers)
        times = in_turns(ways, TURNS)
    finally:
        ray.shutdown()
    net = times["plain all"] - times["plain start"]
    results = []
    for workers in WORKERS:
        task = f"embed {count} small photographs with tiny on Ray, workers: {workers}"
        start = times[f"{workers} start"]
        ratio = (times[f"{workers} all"] - start) / net
        results += [
            row(task, "time ÷ that of embed, both without the start", ratio, GOAL, pool=count),
            row(task, "seconds to start", start, baseline=times["plain start"].median),
            row(task, "seconds in all", times[f"{workers} all"],
                baseline=times["plain all"].median),
        ]  # fmt: skip
    return results


def _plain(folder: Path, source: Path, options: EmbedOptions) -> Way:
    def way(turn: int) -> float:
        root = folder / f"plain-{source.name}-{turn}"
        return seconds(lambda: embed([source], root, options))

    return way


def _on_ray(folder: Path, source: Path, options: EmbedOptions, workers: int) -> Way:
    def way(turn: int) -> float:
        root = folder / f"ray-{workers}-{source.name}-{turn}"
        cluster = ClusterOptions(workers=workers)
        return seconds(lambda: embed_on([source], root, options, cluster))

    return way
