"""Compares the engine's index with plain FAISS, autofaiss and LanceDB.

Rows and text queries with a modality gap come from `benchmarks.speed.gap`. Files, indexes and build
times in the folder are reused by the next run, so that a run of hours can be continued. Searches
are always measured in alternating turns.
"""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import ExitStack
from pathlib import Path

from benchmarks.results.outcome import Result
from benchmarks.speed import SUITE
from benchmarks.speed.harness import Sample, Way, in_turns, row
from benchmarks.speed.index_cells import RECALL, K
from benchmarks.speed.index_corpus import linked_copy, write_corpus
from benchmarks.speed.processes import Report, Served, reported, run_cell
from indexes.candidates import list_count

logger = logging.getLogger(__name__)

ROWS, DIM = 1_000_000, 512
REPEATS = 5
OPENINGS = 5
BUILDS = 1
"""One build takes minutes, which averages the noise of the machine."""

HNSW = "HNSW32"
AUTOFAISS, LANCEDB = "RETRIEVAL_AUTOFAISS_PYTHON", "RETRIEVAL_LANCEDB_PYTHON"
"""Environment variables with the Python of such an environment (`with_autofaiss.py`,
`with_lancedb.py`)."""

AS_INSTALLED = {"OPENBLAS_CORETYPE": ""}
"""Other programs use the default kernels of OpenBLAS, like their users. The engine selects better
ones (`indexes`)."""


def run(*, folder: Path, scale: float = 1.0) -> list[Result]:
    """Write the corpus, build all indexes, and time them in turns."""
    rows = max(2_000, round(ROWS * scale))
    logger.info("writing %d rows, and a collection of as many items", rows)
    reported(folder / "corpus.json", write_corpus, folder, rows, DIM, rows_each=1)
    logger.info("building the kind that the engine chooses")
    root = linked_copy(folder / "collection", folder / "chosen")
    engine = reported(folder / "chosen.json", run_cell, "build-engine", folder, root)
    size = f"{rows:,} × {DIM}"
    return [
        *_searching(folder, root, size, list_count(rows)),
        *_opening(folder, root, size),
        *_building(folder, engine, size, engine["factory"] or f"IVF{list_count(rows)},RaBitQ"),
    ]


def _searching(folder: Path, root: Path, size: str, lists: int) -> list[Result]:
    """Time queries and measure memory, each index in a separate process on the same core."""
    inverted = f"IVF{lists},Flat"
    for factory in (HNSW, inverted):
        logger.info("building %s", factory)
        reported(folder / f"{factory}.json", run_cell, "build-raw", folder, factory, **AS_INSTALLED)
    cells: dict[str, tuple[str, str | Path]] = {
        "engine": ("serve-engine", root),
        HNSW: ("serve-raw", HNSW),
        inverted: ("serve-raw", inverted),
    }
    served: dict[str, Served] = {}
    with ExitStack() as stack:
        for name, (cell, argument) in cells.items():
            logger.info("opening %s, tuned for recall@%d %s", name, K, RECALL)
            served[name] = stack.enter_context(Served(cell, folder, argument))
        lancedb = os.environ.get(LANCEDB)
        if lancedb is not None:
            served["LanceDB"] = stack.enter_context(_lancedb(folder, lancedb))
        logger.info("running all queries %d times, in turns", REPEATS)
        seconds = in_turns({name: _query_time(each) for name, each in served.items()}, REPEATS)
        reports = {name: each.report for name, each in served.items()}
    task = f"search {size}, texts, one thread, recall@{K} ≥ {RECALL}"
    memory = reports["engine"]["anonymous_mib"] / reports[HNSW]["anonymous_mib"]
    return [
        row(task, f"time ÷ {HNSW}'s", seconds["engine"] / seconds[HNSW], 1 / 5),
        row(task, f"time ÷ {inverted}'s", seconds["engine"] / seconds[inverted], 1 / 8),
        row(task, "time ÷ LanceDB's", seconds["engine"] / seconds["LanceDB"])
        if lancedb
        else Result(SUITE, task, f"time ÷ LanceDB's (needs {LANCEDB}, see with_lancedb.py)", None),
        Result(SUITE, task, f"anonymous memory ÷ {HNSW}'s", memory, 1 / 4),
        *(each for name in served for each in _cell(task, name, seconds[name], reports[name])),
    ]


def _lancedb(folder: Path, python: str) -> Served:
    """Build LanceDB on the same rows unless it exists, and serve it."""
    script = Path(__file__).with_name("with_lancedb.py")
    logger.info("building with LanceDB")
    reported(
        folder / "lancedb.json", run_cell, script, "build", folder, python=python, **AS_INSTALLED
    )
    logger.info("opening LanceDB, tuned for recall@%d %s", K, RECALL)
    return Served(script, "serve", folder, python=python)


def _query_time(served: Served) -> Way:
    """Build a way that measures the seconds per query of a served index."""
    return lambda turn: float(served.repeat()["seconds"])


def _cell(task: str, name: str, seconds: Sample, report: Report) -> list[Result]:
    queries = report["queries"]
    label = f"{name}, setting {report['setting']}" if "setting" in report else name
    return [
        row(task, f"{label}: queries/s", seconds.per(1), pool=queries),
        Result(SUITE, task, f"{name}: recall@{K}", report["recall"], RECALL, pool=queries),
        *(
            Result(SUITE, task, f"{name}: {memory} MiB", report[f"{memory}_mib"])
            for memory in ("anonymous", "mapped")
            if f"{memory}_mib" in report
        ),
    ]


def _opening(folder: Path, root: Path, size: str) -> list[Result]:
    """Time opening with a first search, and whole searches compared with their index alone."""
    logger.info("opening the collection %d times", OPENINGS)
    reports = [run_cell("open", folder, root) for _ in range(OPENINGS)]
    samples = {name: Sample(tuple(each[name] for each in reports)) for name in reports[0]}
    task = f"open {size}, libraries loaded, without a model"
    whole = f"search {size}, k = {K}, end to end"
    return [
        row(task, "ms to the first answer", samples["first_ms"], 200),
        row(task, "anonymous MiB above the libraries", samples["anonymous_mib"], 100),
        row(task, "mapped MiB above the libraries", samples["mapped_mib"]),
        row(whole, "ms outside of the encoder and of the index", samples["outside_ms"], 0.3),
        row(whole, "ms over FAISS", samples["whole_ms"] - samples["faiss_ms"], 2),
        row(whole, "ms", samples["whole_ms"], baseline=samples["faiss_ms"].median),
    ]


def _building(folder: Path, engine: Report, size: str, factory: str) -> list[Result]:
    """Time a build, compared with plain FAISS on the same factory string and with autofaiss."""

    def raw(turn: int) -> float:
        path = folder / f"turn-{turn}-raw.json"
        return float(
            reported(path, run_cell, "build-raw", folder, factory, **AS_INSTALLED)["seconds"]
        )

    def ours(turn: int) -> float:
        path, root = folder / f"turn-{turn}-engine.json", folder / f"turn-{turn}"
        linked_copy(folder / "collection", root)
        report = reported(path, run_cell, "build-engine", folder, root, factory)
        shutil.rmtree(root)
        return float(report["seconds"])

    logger.info("building %s with FAISS and with the engine", factory)
    times = in_turns({"raw": raw, "engine": ours}, BUILDS)
    task = f"build {size}"
    chosen = engine["factory"] or "exact"
    return [
        row(task, f"time ÷ raw FAISS's, {factory}", times["engine"] / times["raw"], 1.15),
        row(task, f"{factory}: seconds", times["engine"], baseline=times["raw"].median),
        Result(SUITE, task, f"chosen and tuned, {chosen}: seconds", engine["seconds"]),
        Result(SUITE, task, "chosen: MiB in memory", engine["bytes"] / (1 << 20)),
        *_autofaiss(folder, engine, task),
    ]


def _autofaiss(folder: Path, engine: Report, task: str) -> list[Result]:
    """Compare with autofaiss at the same memory; return an empty row if it is not installed."""
    python = os.environ.get(AUTOFAISS)
    metric = "time, choice included ÷ autofaiss's"
    if python is None:
        return [Result(SUITE, task, f"{metric} (needs {AUTOFAISS}, see with_autofaiss.py)", None,
                       1 / 3)]  # fmt: skip
    logger.info("building with autofaiss")
    script = Path(__file__).with_name("with_autofaiss.py")
    size = str(max(1 << 20, engine["bytes"]))
    theirs = reported(
        folder / "autofaiss.json", run_cell, script, folder, size, python=python, **AS_INSTALLED
    )
    label = f"autofaiss, {theirs['factory']}"
    return [
        Result(SUITE, task, metric, engine["seconds"] / theirs["seconds"], 1 / 3),
        Result(SUITE, task, f"{label}: seconds", theirs["seconds"]),
        Result(SUITE, task, f"{label}: MiB in memory", theirs["bytes"] / (1 << 20)),
        Result(SUITE, task, f"{label}: recall@{K} of texts", theirs["recall"]),
    ]
