"""`bench speed index`: the engine's index beside plain FAISS, autofaiss and LanceDB.

Rows and queries come from `benchmarks.speed.gap`: a modality gap, and queries that are texts. With
`--folder` what a run has written and built is kept for the next one, with the times it took, so
that a run of hours may be continued. Whatever answers queries is always measured side by side.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.results.tables import Result
from benchmarks.speed import SUITE
from benchmarks.speed.harness import Sample, Way, in_turns, row
from benchmarks.speed.index_cells import RECALL, K
from benchmarks.speed.index_corpus import linked_copy, write_corpus
from benchmarks.speed.processes import Report, Served, reported, run_cell
from indexes.candidates import list_count

ROWS, DIM = 1_000_000, 512
REPEATS = 5
OPENINGS = 5
BUILDS = 1
"""A build takes minutes, in which the noise of the machine evens out."""

HNSW = "HNSW32"
AUTOFAISS, LANCEDB = "RETRIEVAL_AUTOFAISS_PYTHON", "RETRIEVAL_LANCEDB_PYTHON"
"""Environment variables: the Pythons of environments with one of them (`with_autofaiss.py`,
`with_lancedb.py`)."""

AS_INSTALLED = {"OPENBLAS_CORETYPE": ""}
"""Others build with the kernels that FAISS's OpenBLAS takes by itself, as its users do: naming
better ones (`indexes`) is the engine's work."""

Say = Callable[[str], None]


def run(*, say: Say, folder: Path, scale: float = 1.0) -> list[Result]:
    """Write the corpus, build every index, let them answer in turn."""
    rows = max(2_000, round(ROWS * scale))
    say(f"writing {rows:,} rows, and a collection of as many items")
    reported(folder / "corpus.json", write_corpus, folder, rows, DIM, rows_each=1)
    say("building the engine's own choice")
    root = linked_copy(folder / "collection", folder / "chosen")
    engine = reported(folder / "chosen.json", run_cell, "build-engine", folder, root)
    size = f"{rows:,} × {DIM}"
    return [
        *_searching(say, folder, root, size, list_count(rows)),
        *_opening(say, folder, root, size),
        *_building(say, folder, engine, size, engine["factory"] or f"IVF{list_count(rows)},RaBitQ"),
    ]


def _searching(say: Say, folder: Path, root: Path, size: str, lists: int) -> list[Result]:
    """Time of a query and memory, each index in a process of its own on the same core."""
    inverted = f"IVF{lists},Flat"
    for factory in (HNSW, inverted):
        say(f"building {factory}")
        reported(folder / f"{factory}.json", run_cell, "build-raw", folder, factory, **AS_INSTALLED)
    cells: dict[str, tuple[str, str | Path]] = {
        "engine": ("serve-engine", root),
        HNSW: ("serve-raw", HNSW),
        inverted: ("serve-raw", inverted),
    }
    served: dict[str, Served] = {}
    with ExitStack() as stack:
        for name, (cell, what) in cells.items():
            say(f"opening {name}, tuned for recall@{K} {RECALL}")
            served[name] = stack.enter_context(Served(cell, folder, what))
        lancedb = os.environ.get(LANCEDB)
        if lancedb is not None:
            served["LanceDB"] = stack.enter_context(_lancedb(say, folder, lancedb))
        say(f"asking each {REPEATS} times, in turn")
        seconds = in_turns({name: _answering(one) for name, one in served.items()}, REPEATS)
        about = {name: one.report for name, one in served.items()}
    task = f"search {size}, texts, one thread, recall@{K} ≥ {RECALL}"
    memory = about["engine"]["anonymous_mib"] / about[HNSW]["anonymous_mib"]
    return [
        row(task, f"time ÷ {HNSW}'s", seconds["engine"] / seconds[HNSW], 1 / 5),
        row(task, f"time ÷ {inverted}'s", seconds["engine"] / seconds[inverted], 1 / 8),
        row(task, "time ÷ LanceDB's", seconds["engine"] / seconds["LanceDB"])
        if lancedb
        else Result(SUITE, task, f"time ÷ LanceDB's (needs {LANCEDB}, see with_lancedb.py)", None),
        Result(SUITE, task, f"anonymous memory ÷ {HNSW}'s", memory, 1 / 4),
        *(one for name in served for one in _cell(task, name, seconds[name], about[name])),
    ]


def _lancedb(say: Say, folder: Path, python: str) -> Served:
    """LanceDB on the same rows; building takes minutes, once."""
    script = Path(__file__).with_name("with_lancedb.py")
    say("building with LanceDB")
    reported(
        folder / "lancedb.json", run_cell, script, "build", folder, python=python, **AS_INSTALLED
    )
    say(f"opening LanceDB, tuned for recall@{K} {RECALL}")
    return Served(script, "serve", folder, python=python)


def _answering(served: Served) -> Way:
    """Seconds of a query, by an index that waits in a process of its own."""
    return lambda turn: float(served.ask()["seconds"])


def _cell(task: str, name: str, seconds: Sample, about: Report) -> list[Result]:
    asked = about["queries"]
    label = f"{name}, setting {about['setting']}" if "setting" in about else name
    return [
        row(task, f"{label}: queries/s", seconds.per(1), pool=asked),
        Result(SUITE, task, f"{name}: recall@{K}", about["recall"], RECALL, pool=asked),
        *(
            Result(SUITE, task, f"{name}: {kind} MiB", about[f"{kind}_mib"])
            for kind in ("anonymous", "mapped")
            if f"{kind}_mib" in about
        ),
    ]


def _opening(say: Say, folder: Path, root: Path, size: str) -> list[Result]:
    """Open, answer once, then whole searches beside their index alone; medians of processes."""
    say(f"opening the collection {OPENINGS} times")
    reports = [run_cell("open", folder, root) for _ in range(OPENINGS)]
    samples = {name: Sample(tuple(each[name] for each in reports)) for name in reports[0]}
    task = f"open {size}, libraries loaded, without a model"
    whole = f"search {size}, k = {K}, end to end"
    return [
        row(task, "ms to the first answer", samples["first_ms"], 200),
        row(task, "anonymous MiB above the libraries", samples["anonymous_mib"], 100),
        row(task, "mapped MiB above the libraries", samples["mapped_mib"]),
        row(whole, "ms over FAISS", samples["whole_ms"] - samples["faiss_ms"], 2),
        row(whole, "ms", samples["whole_ms"], baseline=samples["faiss_ms"].median),
    ]


def _building(say: Say, folder: Path, engine: Report, size: str, factory: str) -> list[Result]:
    """Time of a build, beside plain FAISS on the same factory string and beside autofaiss."""

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

    say(f"building {factory} by FAISS and by the engine")
    taken = in_turns({"raw": raw, "engine": ours}, BUILDS)
    task = f"build {size}"
    chosen = engine["factory"] or "exact"
    return [
        row(task, f"time ÷ raw FAISS's, {factory}", taken["engine"] / taken["raw"], 1.15),
        row(task, f"{factory}: seconds", taken["engine"], baseline=taken["raw"].median),
        Result(SUITE, task, f"chosen and tuned, {chosen}: seconds", engine["seconds"]),
        Result(SUITE, task, "chosen: MiB in memory", engine["bytes"] / (1 << 20)),
        *_autofaiss(say, folder, engine, task),
    ]


def _autofaiss(say: Say, folder: Path, engine: Report, task: str) -> list[Result]:
    """Autofaiss for as much memory; an empty row that says how to fill it where there is none."""
    python = os.environ.get(AUTOFAISS)
    metric = "time, choice included ÷ autofaiss's"
    if python is None:
        return [Result(SUITE, task, f"{metric} (needs {AUTOFAISS}, see with_autofaiss.py)", None,
                       1 / 3)]  # fmt: skip
    say("building with autofaiss")
    script = Path(__file__).with_name("with_autofaiss.py")
    size = str(max(1 << 20, engine["bytes"]))
    theirs = reported(
        folder / "autofaiss.json", run_cell, script, folder, size, python=python, **AS_INSTALLED
    )
    about = f"autofaiss, {theirs['factory']}"
    return [
        Result(SUITE, task, metric, engine["seconds"] / theirs["seconds"], 1 / 3),
        Result(SUITE, task, f"{about}: seconds", theirs["seconds"]),
        Result(SUITE, task, f"{about}: MiB in memory", theirs["bytes"] / (1 << 20)),
        Result(SUITE, task, f"{about}: recall@{K} of texts", theirs["recall"]),
    ]
