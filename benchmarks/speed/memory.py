"""`bench speed memory`: peaks of `embed` however long the list, of large indexes, of metrics.

Anonymous memory is measured: mapped files can be dropped by the system whenever it needs room.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.results.tables import Result
from benchmarks.speed import SUITE
from benchmarks.speed.vectors import VectorEncoder, write_vectors
from retrieval.evaluation.ranking import RankingMetrics
from retrieval.search.indexing.build import build_index
from retrieval.search.indexing.request import IndexRequest

MIB = 1 << 20
FEW, MANY = 1_000, 10_000
SIDE_PIXELS = 96
ROWS, DIM, ROWS_EACH = 1_000_000, 512, 100
ITEMS, QUERIES, QUERIES_AT_ONCE, SCORED_DIM = 1_000_000, 25_000, 256, 16
POLL_SECONDS = 0.02

EMBED = "from cli.main import main; main()"
INDEX = "import sys; from benchmarks.speed.memory import build; build(sys.argv[1], sys.argv[2])"
SCORE = "import sys; from benchmarks.speed.memory import score; score(*map(int, sys.argv[1:]))"


def run(*, say: Callable[[str], None], folder: Path, scale: float = 1.0) -> list[Result]:
    """Measure `embed` on few and many pictures, `index` of either kind, ranking metrics."""
    return [
        *_embedding(say, folder, scale),
        *_indexing(say, folder, scale),
        _scoring(say, scale),
    ]


def build(root: str, kind: str) -> None:
    """Build an index in a process of its own, whose memory is watched from outside."""
    build_index(
        Path(root), request=IndexRequest(kind), encoders=lambda space: VectorEncoder(space.dim)
    )


def score(items: int, queries: int) -> None:
    """Rank the items for every query in a process of its own: one of them is each query's."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((items, SCORED_DIM), np.float32)
    metrics = RankingMetrics()
    for first in range(0, queries, QUERIES_AT_ONCE):
        own = np.arange(first, min(queries, first + QUERIES_AT_ONCE)) % items
        noise = rng.standard_normal((len(own), SCORED_DIM), np.float32)
        metrics.add((rows[own] + noise) @ rows.T, own[:, None].tolist())
    metrics.summary()


def _embedding(say: Callable[[str], None], folder: Path, scale: float) -> list[Result]:
    few, many = (max(20, round(count * scale)) for count in (FEW, MANY))
    _write_pictures(folder / "pictures", many)
    names = sorted(path for path in (folder / "pictures").iterdir())
    lists = {}
    for count in (few, many):
        lists[count] = folder / f"{count}.csv"
        lists[count].write_text("\n".join(["path", *map(str, names[:count])]) + "\n")
    peaks = {}
    for count, source in lists.items():
        say(f"embedding {count:,} small pictures")
        command = [sys.executable, "-c", EMBED, "embed", str(source)]
        peaks[count] = peak_mib([*command, "-c", str(folder / str(count)), "--model", "tiny"])
    task = "embed small pictures with tiny, all processes together"
    more = f"peak MiB at {many:,} over that at {few:,}"
    return [
        Result(SUITE, task, more, peaks[many] - peaks[few], 64),
        Result(SUITE, task, f"peak MiB at {many:,}", peaks[many]),
    ]


def _indexing(say: Callable[[str], None], folder: Path, scale: float) -> list[Result]:
    rows = max(1_000, round(ROWS * scale))
    root = folder / "million"
    say(f"writing {rows:,} vectors")
    write_vectors(root, items=rows // ROWS_EACH, rows_each=ROWS_EACH, dim=DIM)
    results = []
    for kind in ("exact", "auto"):
        say(f"building the {kind} index of {rows:,} rows")
        peak = peak_mib([sys.executable, "-c", INDEX, str(root), kind])
        newest = max(root.glob("indexes/*/*"), key=lambda path: path.stat().st_mtime)
        size = sum(path.stat().st_size for path in newest.iterdir()) / MIB
        task = f"index --kind {kind} of {rows:,} × {DIM}"
        results += [
            Result(SUITE, task, "peak MiB over the index's own size", peak - size, 512),
            Result(SUITE, task, "MiB of the index", size),
        ]
    return results


def _scoring(say: Callable[[str], None], scale: float) -> Result:
    items, queries = (max(1_000, round(count * scale)) for count in (ITEMS, QUERIES))
    say(f"ranking {items:,} items for {queries:,} queries")
    peak = peak_mib([sys.executable, "-c", SCORE, str(items), str(queries)])
    task = f"ranking metrics, {items:,} items × {queries:,} queries"
    return Result(SUITE, task, "peak MiB, libraries included", peak, 2048)


def peak_mib(command: list[str]) -> float:
    """Run a command and follow the anonymous memory of it and its children (Linux)."""
    peak = 0
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        while process.poll() is None:
            peak = max(peak, sum(map(resident_bytes, _with_children(process.pid))))
            time.sleep(POLL_SECONDS)
        said.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} failed: {said.read().decode()}")
    return peak / MIB


def _with_children(pid: int) -> list[int]:
    children = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):  # of each of its threads
        with suppress(OSError):
            children += listing.read_text().split()
    return [pid, *(below for child in children for below in _with_children(int(child)))]


def resident_bytes(pid: int | str = "self", kind: str = "RssAnon") -> int:
    """Memory of a process, 0 once it has ended: anonymous, or mapped from files (`RssFile`)."""
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
