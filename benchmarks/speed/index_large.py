"""Builds and searches an index of ten million rows within 16 GiB.

The run takes hours and 40 GB of disk space. Finished steps in the folder are not repeated. The rows
are those of videos with a hundred segments each.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

from benchmarks.results.outcome import Result
from benchmarks.speed import SUITE
from benchmarks.speed.harness import in_turns, row
from benchmarks.speed.index import REPEATS
from benchmarks.speed.index_cells import K
from benchmarks.speed.index_corpus import generated_corpus, linked_copy, write_corpus
from benchmarks.speed.memory import peak_mib
from benchmarks.speed.processes import Report, Served, command, reported
from retrieval.search.index_files import CARD
from retrieval.search.indexing.card import IndexCard

logger = logging.getLogger(__name__)

ROWS, DIM, ROWS_EACH = 10_000_000, 512, 100
RECALL = 0.90
GIB = 1024
"""MiB."""


def run(*, folder: Path, scale: float = 1.0) -> list[Result]:
    """Write the rows, build the index, and search it in a separate process."""
    rows = ROWS_EACH * max(20, round(ROWS * scale / ROWS_EACH))
    logger.info("writing %d rows", rows)
    written = reported(folder / "corpus.json", _write, folder, rows)
    root = linked_copy(folder / "collection", folder / "chosen")
    logger.info("building the kind that the engine chooses")
    built = reported(folder / "chosen.json", _build, folder, root)
    factory = built["factory"] or "exact"
    logger.info("opening %s", factory)
    with Served("serve-engine", folder, root) as served:
        logger.info("running all queries %d times", REPEATS)
        times = in_turns({"engine": lambda turn: float(served.repeat()["seconds"])}, REPEATS)
    report = served.report
    task, search = f"index {rows:,} × {DIM}, {factory}", f"search {rows:,} × {DIM}, {factory}"
    queries = report["queries"]
    cores = len(os.sched_getaffinity(0))
    return [
        Result(SUITE, task, "peak anonymous GiB of the build", built["peak_mib"] / GIB, 16),
        Result(SUITE, task, f"minutes to build, {cores} cores", built["seconds"] / 60),
        Result(SUITE, task, "minutes to generate and write", written["seconds"] / 60),
        Result(SUITE, search, f"recall@{K} of texts", report["recall"], RECALL, pool=queries),
        Result(SUITE, search, "anonymous GiB", report["anonymous_mib"] / GIB, 1.5),
        Result(SUITE, search, "mapped GiB", report["mapped_mib"] / GIB),
        row(search, "queries/s, one thread", times["engine"].per(1)),
    ]


def _write(folder: Path, rows: int) -> Report:
    start = time.monotonic()
    corpus = generated_corpus(rows, DIM)
    write_corpus(folder, corpus, rows_each=ROWS_EACH, as_array=False)
    return {"seconds": time.monotonic() - start}


def _build(folder: Path, root: Path) -> Report:
    start = time.monotonic()
    peak = peak_mib(command("build-engine", (folder, root, "auto", str(RECALL)), sys.executable))
    seconds = time.monotonic() - start
    (card,) = (IndexCard.read(path) for path in root.glob(f"indexes/*/*/{CARD}"))
    return {"peak_mib": peak, "seconds": seconds, "factory": card.factory}
