"""Compares a search of four collections with one of a single collection of the same rows."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.results.outcome import Result
from benchmarks.speed import SUITE
from benchmarks.speed.gap import SEED_ROWS, GapRows
from benchmarks.speed.harness import in_turns, one_thread, row
from benchmarks.speed.nearest import Nearest
from benchmarks.speed.vectors import TextVectors, write_items
from benchmarks.text_encoder import TextOnlyEncoder
from retrieval.search.coordinator import Coordinator
from retrieval.search.indexing.build import build_index
from retrieval.search.indexing.request import IndexRequest
from retrieval.search.local_member import LocalMember
from retrieval.search.members import Members
from retrieval.search.options import SearchOptions
from retrieval.search.vector_query import VectorQuery
from retrieval.store.reader import Snapshot

logger = logging.getLogger(__name__)

ROWS, DIM, K = 1_000_000, 512, 10
PARTS = 4
QUERIES = 300
TIMED_QUERIES = 101
KIND = "IVF1024,SQ8"
"""Kind of all indexes; each is tuned to the same recall."""

SMALL_ROWS = 1_000
"""Rows of the collections whose searches take almost no time."""


def run(*, folder: Path, scale: float = 1.0) -> list[Result]:
    """Measure recall and time over one and four collections, and the time that members add."""
    part_rows = max(SMALL_ROWS, round(ROWS * scale / PARTS))
    corpus = GapRows(PARTS * part_rows, DIM)
    queries = corpus.texts(QUERIES, 1)
    nearest = Nearest(queries, K)
    encoder = TextVectors(corpus.texts(QUERIES, 2))
    logger.info("writing and indexing %d rows in one and in %d collections", corpus.rows, PARTS)
    one = _searched(folder, "one", [nearest.watch(corpus.blocks())], encoder)
    parts = [_blocks(corpus, n * part_rows, (n + 1) * part_rows) for n in range(PARTS)]
    several = _searched(folder, "part", parts, encoder)
    small = [_blocks(corpus, n * SMALL_ROWS, (n + 1) * SMALL_ROWS) for n in range(PARTS)]
    small_several = _searched(folder, "smalls", small, encoder)
    small_one = _searched(folder, "small", [_blocks(corpus, 0, SMALL_ROWS)], encoder)
    with one_thread():
        times = in_turns(
            {
                "one": lambda turn: _milliseconds(one, queries[turn]),
                "several": lambda turn: _milliseconds(several, queries[turn]),
                "small": lambda turn: _milliseconds(small_one, queries[turn]),
                "smalls": lambda turn: _milliseconds(small_several, queries[turn]),
            },
            min(TIMED_QUERIES, QUERIES),
        )
    task = f"search {corpus.rows:,} × {DIM} in {PARTS} collections, k = {K}"
    recall = _recall(one, queries, nearest.ids, corpus.rows)
    return [
        Result(
            SUITE, task, "recall@10", _recall(several, queries, nearest.ids, part_rows),
            goal=recall, baseline=recall,
        ),
        row(task, "milliseconds", times["several"], baseline=times["one"].median),
        row(
            f"search {PARTS} collections of {SMALL_ROWS:,} × {DIM}",
            "milliseconds over one of them", times["smalls"] - times["small"], 5.0,
        ),
    ]  # fmt: skip


def _blocks(corpus: GapRows, first: int, last: int) -> Iterator[NDArray[np.float16]]:
    """Yield rows first … last - 1 in blocks."""
    for start in range(first, last, SEED_ROWS):
        yield corpus.block(start, min(start + SEED_ROWS, last))


def _searched(
    folder: Path,
    name: str,
    parts: list[Iterator[NDArray[np.float16]]],
    encoder: TextOnlyEncoder,
) -> Coordinator:
    """Write and index a collection of each part, and open them as one."""
    members = {}
    for number, blocks in enumerate(parts):
        root = folder / f"{name}-{number}"
        shutil.rmtree(root, ignore_errors=True)  # an earlier run may have used the folder
        write_items(root, blocks, rows_each=1, encoder=encoder)
        build_index(root, request=IndexRequest(KIND), encoders=lambda space: encoder)
        members[root.name] = LocalMember(Snapshot.open(root))
    return Coordinator(Members(members), lambda space: encoder)


def _milliseconds(searched: Coordinator, query: NDArray[np.float32]) -> float:
    start = time.perf_counter()
    hits = searched.search(VectorQuery.of(query), SearchOptions(k=K)).hits
    milliseconds = (time.perf_counter() - start) * 1e3
    if len(hits) != K:
        raise RuntimeError(f"a query returned {len(hits)} hits, expected {K}")
    return milliseconds


def _recall(
    searched: Coordinator, queries: NDArray[np.float32], truth: NDArray[np.int64], part_rows: int
) -> float:
    """Return the mean share of the true neighbours that are found."""
    shares = []
    for query, true_ids in zip(queries, truth, strict=True):
        hits = searched.search(VectorQuery.of(query), SearchOptions(k=K)).hits
        ids = [_part(hit.collection) * part_rows + hit.item_id for hit in hits]
        shares.append(np.isin(true_ids, ids).mean())
    return float(np.mean(shares))


def _part(name: str | None) -> int:
    """Return the number of a collection."""
    return int(str(name).rpartition("-")[2])
