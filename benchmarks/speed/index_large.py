"""`bench speed index-large`: ten million rows within 16 GiB, built and searched on two cores.

Takes 40 GB of disk and hours; `--folder` keeps what is done, as for `bench speed index`. The rows
are those of videos of a hundred segments each.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.results.tables import Result
from benchmarks.speed import SUITE
from benchmarks.speed.harness import in_turns, row
from benchmarks.speed.index import REPEATS
from benchmarks.speed.index_cells import K
from benchmarks.speed.index_corpus import linked_copy, write_corpus
from benchmarks.speed.memory import peak_mib
from benchmarks.speed.processes import Report, Served, command, reported
from retrieval.search.index_files import CARD
from retrieval.search.indexing.card import IndexCard

ROWS, DIM, ROWS_EACH = 10_000_000, 512, 100
RECALL = 0.90
GIB = 1024
"""MiB."""


def run(*, say: Callable[[str], None], folder: Path, scale: float = 1.0) -> list[Result]:
    """Write, build, and ask the index in a process of its own."""
    rows = ROWS_EACH * max(20, round(ROWS * scale / ROWS_EACH))
    say(f"writing {rows:,} rows")
    written = reported(folder / "corpus.json", _written, folder, rows)
    root = linked_copy(folder / "collection", folder / "chosen")
    say("building the engine's own choice")
    built = reported(folder / "chosen.json", _built, folder, root)
    factory = built["factory"] or "exact"
    say(f"opening {factory}")
    with Served("serve-engine", folder, root) as served:
        say(f"asking it {REPEATS} times")
        taken = in_turns({"engine": lambda turn: float(served.ask()["seconds"])}, REPEATS)
    about = served.report
    task, search = f"index {rows:,} × {DIM}, {factory}", f"search {rows:,} × {DIM}, {factory}"
    asked = about["queries"]
    cores = len(os.sched_getaffinity(0))
    return [
        Result(SUITE, task, "peak anonymous GiB of the build", built["peak_mib"] / GIB, 16),
        Result(SUITE, task, f"minutes to build, {cores} cores", built["seconds"] / 60),
        Result(SUITE, task, "minutes to generate and write", written["seconds"] / 60),
        Result(SUITE, search, f"recall@{K} of texts", about["recall"], RECALL, pool=asked),
        Result(SUITE, search, "anonymous GiB", about["anonymous_mib"] / GIB, 1.5),
        Result(SUITE, search, "mapped GiB", about["mapped_mib"] / GIB),
        row(search, "queries/s, one thread", taken["engine"].per(1)),
    ]


def _written(folder: Path, rows: int) -> Report:
    began = time.monotonic()
    write_corpus(folder, rows, DIM, rows_each=ROWS_EACH, as_array=False)
    return {"seconds": time.monotonic() - began}


def _built(folder: Path, root: Path) -> Report:
    began = time.monotonic()
    peak = peak_mib(command("build-engine", (folder, root, "auto", str(RECALL)), sys.executable))
    seconds = time.monotonic() - began
    (card,) = (IndexCard.read(path) for path in root.glob(f"indexes/*/*/{CARD}"))
    return {"peak_mib": peak, "seconds": seconds, "factory": card.factory}
