"""Measures peak memory of `embed` on long lists, of index builds, and of ranking metrics.

Anonymous memory is measured, because the system can drop the pages of mapped files.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.results.outcome import Result
from benchmarks.speed import SUITE
from benchmarks.speed.vectors import VectorEncoder, write_vectors
from retrieval.evaluation.ranking import RankingMetrics
from retrieval.search.indexing.build import build_index
from retrieval.search.indexing.request import IndexRequest

logger = logging.getLogger(__name__)

MIB = 1 << 20
FEW, MANY = 1_000, 10_000
SIDE_PIXELS = 96
ROWS, DIM, ROWS_EACH = 1_000_000, 512, 100
ITEMS, QUERIES, QUERIES_AT_ONCE, SCORED_DIM = 1_000_000, 25_000, 256, 16
POLL_SECONDS = 0.02

EMBED = "from cli.main import main; main()"
INDEX = "import sys; from benchmarks.speed.memory import build; build(sys.argv[1], sys.argv[2])"
SCORE = "import sys; from benchmarks.speed.memory import score; score(*map(int, sys.argv[1:]))"


def run(*, folder: Path, scale: float = 1.0) -> list[Result]:
    """Measure `embed` on few and many pictures, two index builds, and ranking metrics."""
    return [*_embedding(folder, scale), *_indexing(folder, scale), _scoring(scale)]


def build(root: str, kind: str) -> None:
    """Build an index; runs in a separate process whose memory is measured."""
    build_index(
        Path(root), request=IndexRequest(kind), encoders=lambda space: VectorEncoder(space.dim)
    )


def score(items: int, queries: int) -> None:
    """Rank the items for every query, one of them relevant; runs in a separate process."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((items, SCORED_DIM), np.float32)
    metrics = RankingMetrics()
    for first in range(0, queries, QUERIES_AT_ONCE):
        own = np.arange(first, min(queries, first + QUERIES_AT_ONCE)) % items
        noise = rng.standard_normal((len(own), SCORED_DIM), np.float32)
        metrics.add((rows[own] + noise) @ rows.T, own[:, None].tolist())
    metrics.summary()


def _embedding(folder: Path, scale: float) -> list[Result]:
    few, many = (max(20, round(count * scale)) for count in (FEW, MANY))
    _write_pictures(folder / "pictures", many)
    names = sorted(path for path in (folder / "pictures").iterdir())
    lists = {}
    for count in (few, many):
        lists[count] = folder / f"{count}.csv"
        lists[count].write_text("\n".join(["path", *map(str, names[:count])]) + "\n")
    peaks = {}
    for count, source in lists.items():
        logger.info("embedding %d small pictures", count)
        command = [sys.executable, "-c", EMBED, "embed", str(source)]
        peaks[count] = peak_mib([*command, "-c", str(folder / str(count)), "--model", "tiny"])
    task = "embed small pictures with tiny, all processes together"
    metric = f"peak MiB at {many:,} over that at {few:,}"
    return [
        Result(SUITE, task, metric, peaks[many] - peaks[few], 64),
        Result(SUITE, task, f"peak MiB at {many:,}", peaks[many]),
    ]


def _indexing(folder: Path, scale: float) -> list[Result]:
    rows = max(1_000, round(ROWS * scale))
    root = folder / "million"
    logger.info("writing %d vectors", rows)
    write_vectors(root, items=rows // ROWS_EACH, rows_each=ROWS_EACH, dim=DIM)
    results = []
    for kind in ("exact", "auto"):
        logger.info("building the %s index of %d rows", kind, rows)
        peak = peak_mib([sys.executable, "-c", INDEX, str(root), kind])
        newest = max(root.glob("indexes/*/*"), key=lambda path: path.stat().st_mtime)
        size = sum(path.stat().st_size for path in newest.iterdir()) / MIB
        task = f"index --kind {kind} of {rows:,} × {DIM}"
        results += [
            Result(SUITE, task, "peak MiB over the index's own size", peak - size, 512),
            Result(SUITE, task, "MiB of the index", size),
        ]
    return results


def _scoring(scale: float) -> Result:
    items, queries = (max(1_000, round(count * scale)) for count in (ITEMS, QUERIES))
    logger.info("ranking %d items for %d queries", items, queries)
    peak = peak_mib([sys.executable, "-c", SCORE, str(items), str(queries)])
    task = f"ranking metrics, {items:,} items × {queries:,} queries"
    return Result(SUITE, task, "peak MiB, libraries included", peak, 2048)


def peak_mib(command: list[str]) -> float:
    """Run a command and return the peak of its anonymous memory, with children (Linux)."""
    peak = 0
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        while process.poll() is None:
            peak = max(peak, sum(map(resident_bytes, _with_children(process.pid))))
            time.sleep(POLL_SECONDS)
        errors.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} failed: {errors.read().decode()}")
    return peak / MIB


def _with_children(pid: int) -> list[int]:
    children = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):  # children of each thread
        with suppress(OSError):
            children += listing.read_text().split()
    return [pid, *(descendant for child in children for descendant in _with_children(int(child)))]


def resident_bytes(pid: int | str = "self", kind: str = "RssAnon") -> int:
    """Read anonymous memory of a process, or mapped files (`RssFile`); 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{kind}:"))


def _write_pictures(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        noise = rng.integers(0, 255, (SIDE_PIXELS // 8, SIDE_PIXELS // 8, 3), np.uint8)
        picture = Image.fromarray(noise).resize((SIDE_PIXELS, SIDE_PIXELS))
        picture.save(folder / f"{number:06}.jpg")
