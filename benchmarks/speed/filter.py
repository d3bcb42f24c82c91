"""Times filtered search, compared with unfiltered search and a scan of the remaining rows.

Filters use a column that is independent of the vectors, such as a year, and a column that follows
them, such as a place: the query's own neighbourhood, and another one. The time to evaluate a filter
is reported separately.
"""

from __future__ import annotations

import logging
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks.results.outcome import Result
from benchmarks.speed import SUITE
from benchmarks.speed.gap import SEED_ROWS, GapRows
from benchmarks.speed.harness import Sample, in_turns, one_thread, row, seconds
from benchmarks.speed.processes import Report, reported
from benchmarks.text_encoder import TextOnlyEncoder
from indexes.candidates import list_count
from indexes.saved import open_index
from indexes.selection import Selection, copy_rows
from retrieval.search.calibration import QueryType
from retrieval.search.filtering import RowFilter, media_targets
from retrieval.search.indexing.build import build_index
from retrieval.search.indexing.request import IndexRequest
from retrieval.search.items import ItemTable
from retrieval.search.open_space import OpenedSpace, Part
from retrieval.store.reader import Snapshot
from retrieval.store.writer import CollectionWriter
from retrieval.types import EmbeddedItem, MediaInfo, Medium, Segments, Space

logger = logging.getLogger(__name__)

ROWS, DIM, K = 1_000_000, 512, 10
KIND = "IVF{lists},RaBitQfs"
"""The fastest kind for unfiltered queries, and so the hardest comparison."""

QUERIES = 40
SHARES = (0.5, 0.1, 0.03, 0.01, 0.001, 0.0001)
COPY_TURNS = 3
"""Number of timed copies of rows."""

PLACES = 256
"""Number of neighbourhoods; adjacent values of the column are unrelated neighbourhoods."""

STEPS = 10_000
"""Number of values of each column."""


class GapEncoder(TextOnlyEncoder):
    """Maps texts to queries on the other side of the modality gap."""

    def __init__(self, corpus: GapRows) -> None:
        super().__init__(corpus.dim)
        self._corpus = corpus

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return fixed vectors, one per text."""
        return self._corpus.texts(len(texts), seed=1)


@dataclass(frozen=True, slots=True)
class _OpenedIndex:
    """An open index with queries and their exact scores.

    Attributes:
        part: The measured index.
        exact: Its exact index alone.
        rows: Evaluates filters.
        queries: (queries, dim).
        scores: (queries, rows) exact scores.
    """

    part: Part
    exact: Any
    rows: RowFilter
    queries: NDArray[np.float32]
    scores: NDArray[np.float32]

    def evaluate(self, where: str) -> tuple[Selection, float]:
        """Return the rows that match a condition, and the milliseconds of the evaluation."""
        start = time.perf_counter()
        selection = self.rows.select(self.part, media_targets([]), where)
        return selection, (time.perf_counter() - start) * 1e3

    def recall(self, query: int, selection: Selection | None) -> float:
        """Compute the share of the k best matching rows that a search finds."""
        scores = self.scores[query]
        if selection is not None:
            scores = scores[selection.mask]
        wanted = min(K, len(scores))
        bound = -np.partition(-scores, wanted - 1)[wanted - 1]
        _, ids = self.part.search(self.queries[query : query + 1], K, selection, QueryType.TEXT)
        if len(ids) != wanted:
            raise RuntimeError(f"a search returned {len(ids)} rows, expected {wanted}")
        return float((self.scores[query, ids] >= bound - 1e-6).mean())

    def milliseconds(self, query: int, selection: Selection | None) -> float:
        """Time one search without the evaluation of the filter."""
        row = self.query(query)
        return _milliseconds(lambda: self.part.search(row, K, selection, QueryType.TEXT))

    def query(self, query: int) -> NDArray[np.float32]:
        """Return one query, (1, dim)."""
        return self.queries[query : query + 1]


def run(*, folder: Path, scale: float = 1.0) -> list[Result]:
    """Measure all shares of rows with all types of filters."""
    with one_thread():
        return _measure(folder, max(2_000, round(ROWS * scale)))


def _measure(folder: Path, rows: int) -> list[Result]:
    corpus = GapRows(rows, DIM)
    encoder = GapEncoder(corpus)
    kind = KIND.format(lists=list_count(rows))
    places = _Places(corpus)
    root = folder / f"{rows}-vectors"
    logger.info("writing %d vectors", rows)
    reported(folder / f"{rows}-vectors.json", _write, root, corpus, encoder, places)
    logger.info("building %s", kind)
    request = IndexRequest(kind)
    build_index(root, request=request, encoders=lambda space: encoder)
    opened = _open(root, corpus)
    task = f"{kind}, {rows:,} × {DIM}, k = {K}, one thread"
    unfiltered = statistics.fmean(opened.recall(query, None) for query in range(QUERIES))
    plain = in_turns({"plain": lambda query: opened.milliseconds(query, None)}, QUERIES)
    results = [
        Result(SUITE, task, "recall@10 without a filter", unfiltered, pool=QUERIES),
        row(task, "milliseconds without a filter", plain["plain"]),
    ]
    for share in [share for share in SHARES if share * rows >= K]:
        logger.info("filters that match %.2f%%", 100 * share)
        results += _independent(opened, task, share, unfiltered)
        for name, distance in (("around the query", 0.0), ("elsewhere", 0.5)):
            own_task = f"{task}: {share:.2%} {name}"
            results += _by_place(opened, own_task, share, unfiltered, places, distance)
    return results


def _independent(opened: _OpenedIndex, task: str, share: float, unfiltered: float) -> list[Result]:
    selection, evaluation_ms = opened.evaluate(f"lot < {max(1, round(share * STEPS))}")
    ids = np.flatnonzero(selection.mask)
    copy = copy_rows(opened.exact, ids)
    plain = Selection.from_mask(selection.mask)
    masked = faiss.SearchParameters(sel=plain.selector())
    times = in_turns(
        {
            "filtered": lambda query: opened.milliseconds(query, selection),
            "plain": lambda query: opened.milliseconds(query, None),
            "scan": lambda query: _milliseconds(lambda: copy.search(opened.query(query), K)),
            "masked": lambda query: _milliseconds(
                lambda: opened.exact.search(opened.query(query), K, params=masked)
            ),
        },
        QUERIES,
    )
    copying = in_turns(
        {"copy": lambda turn: _milliseconds(lambda: copy_rows(opened.exact, ids))}, COPY_TURNS
    )
    bound = max(times["plain"], times["scan"], key=lambda sample: sample.median)
    recall = statistics.fmean(opened.recall(query, selection) for query in range(QUERIES))
    task = f"{task}: {share:.2%} at random"
    return [
        Result(SUITE, task, "recall@10", recall, unfiltered, pool=QUERIES),
        row(task, "time ÷ max(unfiltered, scan of what is left)", times["filtered"] / bound, 2.0),
        row(task, "milliseconds", times["filtered"], baseline=bound.median),
        Result(SUITE, task, "milliseconds to evaluate the filter", evaluation_ms),
        row(task, "milliseconds by exact scan with a mask", times["masked"]),
        row(task, "milliseconds to copy the rows first", copying["copy"]),
    ]


def _by_place(
    opened: _OpenedIndex,
    task: str,
    share: float,
    unfiltered: float,
    places: _Places,
    distance: float,
) -> list[Result]:
    width = max(1, round(share * STEPS))
    recalls, milliseconds = [], []
    for query in range(QUERIES):
        first = (places.of(opened.queries[query]) + round(distance * STEPS)) % STEPS
        first = min(first // width * width, STEPS - width)
        selection, _ = opened.evaluate(f"place >= {first} AND place < {first + width}")
        if selection.count:
            recalls.append(opened.recall(query, selection))
            milliseconds.append(opened.milliseconds(query, selection))
    return [
        Result(SUITE, task, "recall@10", statistics.fmean(recalls), unfiltered, pool=len(recalls)),
        row(task, "milliseconds", Sample(tuple(milliseconds))),
    ]


def _milliseconds(search: Callable[[], object]) -> float:
    return 1e3 * seconds(search)


class _Places:
    """Neighbourhoods by k-means, each with a range of values of the column."""

    def __init__(self, corpus: GapRows) -> None:
        sample = corpus.block(0, min(corpus.rows, 2 * SEED_ROWS)).astype(np.float32)
        clustering = faiss.Kmeans(corpus.dim, PLACES, niter=5, spherical=True, seed=0)
        clustering.cp.min_points_per_centroid = 1
        clustering.train(sample)
        self._centres: NDArray[np.float32] = clustering.centroids

    def of(self, vector: NDArray[np.float32]) -> int:
        """Return the middle of the values around a query."""
        return int(((self._centres @ vector).argmax() + 0.5) * STEPS / PLACES)

    def values(self, vectors: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw values of the column, (rows,)."""
        nearest = (vectors @ self._centres.T).argmax(axis=1)
        values: NDArray[np.int64] = ((nearest + rng.random(len(vectors))) * STEPS / PLACES).astype(
            np.int64
        )
        return values


def _write(root: Path, corpus: GapRows, encoder: GapEncoder, places: _Places) -> Report:
    """Write a picture per row, with a random lot and a place."""
    shutil.rmtree(root, ignore_errors=True)  # an interrupted run may have left files
    space = Space(f"gap-{corpus.dim}", encoder.spec, corpus.dim, encoder.media, encoder.digest)
    with CollectionWriter.open(root, create=True) as writer:
        writer.add_space(space)
        for item in _items(corpus, space.name, places):
            writer.add(item)
            if writer.is_due():
                writer.publish()
        writer.publish()
    return {"rows": corpus.rows}


def _items(corpus: GapRows, space: str, places: _Places) -> Iterator[EmbeddedItem]:
    rng = np.random.default_rng(0)
    untimed = np.full(1, np.nan, np.float32)
    number = 0
    for block in corpus.blocks(SEED_ROWS):
        vectors = block.astype(np.float32)
        lots = rng.integers(STEPS, size=len(vectors)).tolist()
        values = places.values(vectors, rng).tolist()
        for vector, lot, place in zip(vectors, lots, values, strict=True):
            info = MediaInfo(
                f"/archive/{number:07}.jpg", Medium.IMAGE, 100_000, 1.7e9, f"{number:064x}",
                columns={"lot": lot, "place": place},
            )  # fmt: skip
            segments = Segments([Medium.IMAGE], untimed, untimed, vector[None])
            yield EmbeddedItem(info, {space: segments})
            number += 1


def _open(root: Path, corpus: GapRows) -> _OpenedIndex:
    snapshot = Snapshot.open(root)
    (part,) = OpenedSpace(snapshot, snapshot.spaces[0]).parts
    (path,) = root.glob("indexes/*/*/exact.faiss")
    queries = corpus.texts(QUERIES, seed=2)
    scores = np.empty((QUERIES, corpus.rows), np.float32)
    first = 0
    for block in corpus.blocks():
        scores[:, first : first + len(block)] = queries @ block.astype(np.float32).T
        first += len(block)
    rows = RowFilter(snapshot, ItemTable(snapshot))
    return _OpenedIndex(part, open_index(path), rows, queries, scores)
