"""The cells of `bench speed index`: each builds or serves one index in a process of its own.

`python -m benchmarks.speed.index_cells CELL FOLDER [ARGUMENT...]` does one of the tasks in `CELLS`
on what `write_corpus` wrote, and answers in JSON lines. Memory is what a process takes above itself
with its libraries loaded and a small collection searched.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks.speed.memory import MIB, resident_bytes
from benchmarks.speed.vectors import TextVectors
from indexes.candidates import training_rows
from retrieval.search.calibration import QueryType
from retrieval.search.indexing.build import build_index
from retrieval.search.indexing.request import IndexRequest
from retrieval.search.open_space import OpenedSpace, Part
from retrieval.search.options import SearchOptions
from retrieval.search.searcher import Searcher, SearchResult
from retrieval.store.reader import Snapshot

K = 10
RECALL = 0.95
BLOCK_ROWS = 65_536
SETTINGS = [round(2 ** (step / 2)) for step in range(29)]
"""Values of nprobe and efSearch that plain FAISS is tried with, up to 16,384."""

Search = Callable[[NDArray[np.float32]], NDArray[np.int64]]
"""The ids of the K best rows of one query, (1, dim)."""

Report = dict[str, Any]


def recall(search: Search, folder: Path, queries: str) -> float:
    """Share of the K exact neighbours found, over the queries of a file `truth` belongs to."""
    wanted = np.load(folder / f"{queries}-truth.npy")
    found = [search(query[None]) for query in np.load(folder / f"{queries}.npy")]
    shares = [np.isin(want, got).mean() for want, got in zip(wanted, found, strict=True)]
    return float(np.mean(shares))


# ------------------------------------------------------------ building


def build_raw(folder: Path, factory: str) -> Report:
    """Plain FAISS: read the float16 rows, train on as many as the engine, add, write."""
    began = time.perf_counter()
    rows = np.load(folder / "rows" / "rows.npy", mmap_mode="r")
    index = faiss.index_factory(rows.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    if not index.is_trained:
        count = training_rows(factory, len(rows))
        chosen = np.sort(np.random.default_rng(0).choice(len(rows), count, replace=False))
        faiss.extract_index_ivf(index).cp.min_points_per_centroid = 1
        index.train(rows[chosen].astype(np.float32))
    for first in range(0, len(rows), BLOCK_ROWS):
        index.add(rows[first : first + BLOCK_ROWS].astype(np.float32))
    path = folder / f"{factory}.faiss"
    faiss.write_index(index, str(path))
    return {"seconds": time.perf_counter() - began, "bytes": path.stat().st_size}


def build_engine(folder: Path, root: str, kind: str = "auto", share: str = str(RECALL)) -> Report:
    """The engine, on the collection in `root`: a factory string, or its own choice for a recall."""
    texts = TextVectors(np.load(folder / "captions.npy"))
    began = time.perf_counter()
    request = IndexRequest(kind, recall=float(share))
    (card,) = build_index(Path(root), request=request, encoders=lambda space: texts)
    seconds = time.perf_counter() - began
    (index,) = Snapshot.open(Path(root)).index_folders(card.space)
    size = sum(path.stat().st_size for path in index.glob("part-*.faiss"))
    return {"seconds": seconds, "factory": card.factory, "bytes": size}


# ------------------------------------------------------------ serving


def serve_raw(folder: Path, factory: str) -> None:
    """Answer with plain FAISS, at the least setting that has the recall on the tuning texts."""
    before = _resident()
    index = faiss.read_index(str(folder / f"{factory}.faiss"))

    def search(query: NDArray[np.float32]) -> NDArray[np.int64]:
        ids: NDArray[np.int64] = index.search(query, K)[1][0]
        return ids

    inverted = faiss.try_extract_index_ivf(index)
    for setting in SETTINGS:
        if inverted is None:
            index.hnsw.efSearch = setting
        else:
            inverted.nprobe = min(setting, inverted.nlist)
        if recall(search, folder, "tune") >= RECALL:
            break
    _serve(search, folder, before, {"setting": setting})


def serve_engine(folder: Path, root: str) -> None:
    """Answer with the index that the engine built and tuned."""
    _open(folder / "small", folder)
    before = _resident()
    part = _part(Path(root))
    _serve(lambda query: part.search(query, K, None, QueryType.TEXT)[1], folder, before, {})


def _serve(search: Search, folder: Path, before: tuple[int, int], report: Report) -> None:
    """Say what the index recalls and takes; then answer all queries once for each line read."""
    queries = np.load(folder / "ask.npy")
    report |= {"recall": recall(search, folder, "ask"), "queries": len(queries)}
    _say(report | _memory(before))
    for _ in sys.stdin:
        began = time.perf_counter()
        for query in queries:
            search(query[None])
        _say({"seconds": (time.perf_counter() - began) / len(queries)})


def open_and_search(folder: Path, root: str) -> Report:
    """Open the collection and answer; then every query end to end and by its index alone."""
    _open(folder / "small", folder)
    before = _resident()
    began = time.perf_counter()
    searcher = _open(Path(root), folder)
    first = (time.perf_counter() - began) * 1e3
    memory = _memory(before)
    part = _part(Path(root))
    texts = TextVectors(np.load(folder / "ask.npy"))
    whole, bare = [], []
    for number in range(101):
        query = texts.encode_text([f"query {number}"])
        began = time.perf_counter()
        part.search(query, K, None, QueryType.TEXT)
        bare.append((time.perf_counter() - began) * 1e3)
        began = time.perf_counter()
        result = searcher.search(f"query {number}", SearchOptions(k=K))
        whole.append((time.perf_counter() - began) * 1e3 - _checked(result).took_ms.encode)
    return memory | {
        "first_ms": first,
        "whole_ms": statistics.median(whole),
        "faiss_ms": statistics.median(bare),
    }


def _part(root: Path) -> Part:
    """All rows of a collection, behind its index alone."""
    snapshot = Snapshot.open(root)
    (part,) = OpenedSpace(snapshot, snapshot.spaces[0]).parts
    return part


def _open(root: Path, folder: Path) -> Searcher:
    """A searcher that has answered a query, without a model."""
    texts = TextVectors(np.load(folder / "ask.npy"))
    searcher = Searcher(Snapshot.open(root), lambda space: texts)
    _checked(searcher.search("query", SearchOptions(k=K)))
    return searcher


def _checked(result: SearchResult) -> SearchResult:
    if len(result.hits) != K or not all(hit.metadata for hit in result.hits):
        raise RuntimeError(f"{result.query!r} brought {len(result.hits)} hits instead of {K}")
    return result


def _resident() -> tuple[int, int]:
    gc.collect()
    return resident_bytes(), resident_bytes(kind="RssFile")


def _memory(before: tuple[int, int]) -> Report:
    anonymous, mapped = ((now - then) / MIB for now, then in zip(_resident(), before, strict=True))
    return {"anonymous_mib": anonymous, "mapped_mib": mapped}


def _say(report: Report) -> None:
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


CELLS: dict[str, Callable[..., Report | None]] = {
    "build-raw": build_raw,
    "build-engine": build_engine,
    "serve-raw": serve_raw,
    "serve-engine": serve_engine,
    "open": open_and_search,
}


def main(cell: str, folder: str, *more: str) -> None:
    """Do one task; builds use all cores they are given, everything else one thread on one core."""
    if not cell.startswith("build"):
        faiss.omp_set_num_threads(1)
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    report = CELLS[cell](Path(folder), *more)
    if report is not None:
        _say(report)


if __name__ == "__main__":
    main(*sys.argv[1:])
