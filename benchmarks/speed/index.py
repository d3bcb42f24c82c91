"""Compares the engine's index with plain FAISS, autofaiss, LanceDB, hnswlib and usearch.

Rows and text queries with a modality gap come from `benchmarks.speed.gap`, or from two files of a
user. Files, indexes and build times in the folder are reused by the next run, so that a run of
hours can be continued. Searches are always measured in alternating turns.
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
from benchmarks.speed.index_corpus import (
    Corpus,
    check_identity,
    generated_corpus,
    linked_copy,
    own_corpus,
    write_corpus,
)
from benchmarks.speed.index_peers import AS_INSTALLED, PEERS
from benchmarks.speed.processes import Report, Served, reported, run_cell
from indexes.candidates import list_count
from retrieval.errors import SourceError

logger = logging.getLogger(__name__)

ROWS, DIM = 1_000_000, 512
REPEATS = 5
OPENINGS = 5
BUILDS = 1
"""One build takes minutes, which averages the noise of the machine."""

HNSW = "HNSW32"
AUTOFAISS = "RETRIEVAL_AUTOFAISS_PYTHON"
"""Environment variable with the Python of such an environment (`with_autofaiss.py`)."""

MIB = 1 << 20


def run(
    *, folder: Path, scale: float = 1.0, vectors: Path | None = None, texts: Path | None = None
) -> list[Result]:
    """Write the corpus, build all indexes, and time them in turns.

    Args:
        folder: Folder of generated files and indexes.
        scale: Share of the rows.
        vectors: `.npy` file of the rows; None to generate them.
        texts: `.npy` file of the text queries.

    Raises:
        SourceError: The files are unusable, or the folder holds indexes of other rows.
    """
    corpus = _corpus(scale, vectors, texts)
    logger.info("writing %d rows, and a collection of as many items", corpus.rows)
    written = reported(folder / "corpus.json", write_corpus, folder, corpus, rows_each=1)
    check_identity(folder, written, corpus)
    logger.info("building the kind that the engine chooses")
    root = linked_copy(folder / "collection", folder / "chosen")
    engine = reported(folder / "chosen.json", run_cell, "build-engine", folder, root)
    size = f"{corpus.rows:,} × {corpus.dim}" + (f", {corpus.name}" if vectors else "")
    lists = list_count(corpus.rows)
    return [
        *_row_set(corpus),
        *_searching(folder, root, engine, size, lists),
        *_opening(folder, root, size),
        *_building(folder, engine, size, engine["factory"] or f"IVF{lists},RaBitQ"),
    ]


def _corpus(scale: float, vectors: Path | None, texts: Path | None) -> Corpus:
    if (vectors is None) != (texts is None):
        raise SourceError("rows and texts belong together; name both files or none")
    if vectors is None or texts is None:
        return generated_corpus(max(2_000, round(ROWS * scale)), DIM)
    return own_corpus(vectors, texts, scale)


def _row_set(corpus: Corpus) -> list[Result]:
    """Say which rows were used."""
    task = f"row set: {corpus.name} ({corpus.identity})"
    return [
        Result(SUITE, task, "rows", corpus.rows),
        Result(SUITE, task, "texts to tune with", len(corpus.tune)),
        Result(SUITE, task, "texts to measure with", len(corpus.ask)),
    ]


def _searching(folder: Path, root: Path, engine: Report, size: str, lists: int) -> list[Result]:
    """Time queries and measure memory, each index in a separate process on the same core."""
    inverted = f"IVF{lists},Flat"
    built = {"engine": engine}
    for factory in (HNSW, inverted):
        logger.info("building %s", factory)
        path = folder / f"{factory}.json"
        built[factory] = reported(path, run_cell, "build-raw", folder, factory, **AS_INSTALLED)
    problems = {peer: peer.problem() for peer in PEERS}
    peers = [peer for peer, problem in problems.items() if problem is None]
    built |= {peer.name: peer.build(folder) for peer in peers}
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
        for peer in peers:
            logger.info("opening %s, tuned for recall@%d %s", peer.name, K, RECALL)
            served[peer.name] = stack.enter_context(peer.serve(folder))
        logger.info("running all queries %d times, in turns", REPEATS)
        seconds = in_turns({name: _query_time(each) for name, each in served.items()}, REPEATS)
        reports = {name: each.report for name, each in served.items()}
    task = f"search {size}, texts, one thread, recall@{K} ≥ {RECALL}"
    memory = reports["engine"]["anonymous_mib"] / reports[HNSW]["anonymous_mib"]
    ours = seconds["engine"]
    return [
        row(task, f"time ÷ {HNSW}'s", ours / seconds[HNSW], 1 / 5),
        row(task, f"time ÷ {inverted}'s", ours / seconds[inverted], 1 / 3),
        *(
            row(task, f"time ÷ {peer.name}'s", ours / seconds[peer.name])
            if problem is None
            else Result(SUITE, task, f"time ÷ {peer.name}'s ({problem})")
            for peer, problem in problems.items()
        ),
        Result(SUITE, task, f"anonymous memory ÷ {HNSW}'s", memory, 1 / 4),
        *(
            each
            for name in served
            for each in _cell(task, name, seconds[name], built[name] | reports[name])
        ),
    ]


def _query_time(served: Served) -> Way:
    """Build a way that measures the seconds per query of a served index."""
    return lambda turn: float(served.repeat()["seconds"])


def _cell(task: str, name: str, seconds: Sample, report: Report) -> list[Result]:
    """Report one index: its speed, recall, build time, size and memory."""
    queries = report["queries"]
    version = f" {report['version']}" if "version" in report else ""
    setting = f", setting {report['setting']}" if "setting" in report else ""
    return [
        row(task, f"{name}{version}{setting}: queries/s", seconds.per(1), pool=queries),
        Result(SUITE, task, f"{name}: recall@{K}", report["recall"], RECALL, pool=queries),
        Result(SUITE, task, f"{name}: seconds to build", report["seconds"]),
        Result(SUITE, task, f"{name}: MiB on disk, rows included",
               report["bytes_with_rows" if "bytes_with_rows" in report else "bytes"] / MIB),
        *(
            Result(SUITE, task, f"{name}: {memory} MiB", report[f"{memory}_mib"])
            for memory in ("anonymous", "mapped")
        ),
    ]  # fmt: skip


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
        Result(SUITE, task, "time of choice and build ÷ the build of the chosen kind",
               engine["seconds"] / times["engine"].median, 2),
        Result(SUITE, task, f"chosen and tuned, {chosen}: seconds", engine["seconds"]),
        Result(SUITE, task, "chosen: MiB in memory", engine["bytes"] / MIB),
        *_autofaiss(folder, engine, task),
    ]  # fmt: skip


def _autofaiss(folder: Path, engine: Report, task: str) -> list[Result]:
    """Compare with autofaiss at the same memory; return an empty row if it is not installed."""
    python = os.environ.get(AUTOFAISS)
    metric = "time, choice included ÷ autofaiss's"
    if python is None:
        return [Result(SUITE, task, f"{metric} (needs {AUTOFAISS}, see with_autofaiss.py)", None,
                       1 / 3)]  # fmt: skip
    logger.info("building with autofaiss")
    script = Path(__file__).with_name("with_autofaiss.py")
    size = str(max(MIB, engine["bytes"]))
    theirs = reported(
        folder / "autofaiss.json", run_cell, script, folder, size, python=python, **AS_INSTALLED
    )
    label = f"autofaiss, {theirs['factory']}"
    return [
        Result(SUITE, task, metric, engine["seconds"] / theirs["seconds"], 1 / 3),
        Result(SUITE, task, f"{label}: seconds", theirs["seconds"]),
        Result(SUITE, task, f"{label}: MiB in memory", theirs["bytes"] / MIB),
        Result(SUITE, task, f"{label}: recall@{K} of texts", theirs["recall"]),
    ]
