"""`bench speed filter`: filtered search beside an unfiltered one and a scan of what is left.

Rows are chosen by a column that has nothing to do with their vectors, as a year, and by one that
follows them, as a place: of the query's own neighbourhood, and of another one. What a filter takes
to evaluate is told beside it; the rest is measured once it is.
"""

from __future__ import annotations

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

from benchmarks.results.tables import Result
from benchmarks.speed import SUITE
from benchmarks.speed.gap import SEED_ROWS, GapRows
from benchmarks.speed.harness import Sample, in_turns, one_thread, row, seconds
from benchmarks.speed.processes import Report, reported
from benchmarks.speed.vectors import VectorEncoder
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

ROWS, DIM, K = 1_000_000, 512, 10
KIND = "IVF{lists},RaBitQfs"
"""The fastest kind to unfiltered queries, and so the hardest to keep up with."""

QUERIES = 40
SHARES = (0.5, 0.1, 0.03, 0.01, 0.001, 0.0001)
COPIES = 3
"""How often rows are copied for its time."""

PLACES = 256
"""Neighbourhoods of rows; those that follow each other in the column have nothing in common."""

STEPS = 10_000
"""Values of either column."""


class GapEncoder(VectorEncoder):
    """Texts become queries that lie apart from the rows."""

    def __init__(self, corpus: GapRows) -> None:
        super().__init__(corpus.dim)
        self._corpus = corpus

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """A vector for each text, the same one for the same texts."""
        return self._corpus.texts(len(texts), seed=1)


@dataclass(frozen=True, slots=True)
class Opened:
    """An index with all there is to compare its answers with.

    Attributes:
        part: What answers.
        exact: Its exact index, by itself.
        rows: Evaluates filters.
        queries: (queries, dim).
        scores: (queries, rows) exact scores.
    """

    part: Part
    exact: Any
    rows: RowFilter
    queries: NDArray[np.float32]
    scores: NDArray[np.float32]

    def evaluated(self, where: str) -> tuple[Selection, float]:
        """The rows that a condition leaves, and the milliseconds to find them."""
        began = time.perf_counter()
        selection = self.rows.select(self.part, media_targets([]), where)
        return selection, (time.perf_counter() - began) * 1e3

    def recall(self, query: int, selection: Selection | None) -> float:
        """Share of the k best allowed rows that a search finds."""
        scores = self.scores[query]
        if selection is not None:
            scores = scores[selection.mask]
        wanted = min(K, len(scores))
        bound = -np.partition(-scores, wanted - 1)[wanted - 1]
        _, ids = self.part.search(self.queries[query : query + 1], K, selection, QueryType.TEXT)
        if len(ids) != wanted:
            raise RuntimeError(f"{len(ids)} answers where {wanted} rows match")
        return float((self.scores[query, ids] >= bound - 1e-6).mean())

    def milliseconds(self, query: int, selection: Selection | None) -> float:
        """One search once the filter is evaluated."""
        asked = self.asked(query)
        return _milliseconds(lambda: self.part.search(asked, K, selection, QueryType.TEXT))

    def asked(self, query: int) -> NDArray[np.float32]:
        """(1, dim), one of the queries."""
        return self.queries[query : query + 1]


def run(*, say: Callable[[str], None], folder: Path, scale: float = 1.0) -> list[Result]:
    """Measure every share of the rows, chosen in each way."""
    with one_thread():
        return _measure(say, folder, max(2_000, round(ROWS * scale)))


def _measure(say: Callable[[str], None], folder: Path, rows: int) -> list[Result]:
    corpus = GapRows(rows, DIM)
    encoder = GapEncoder(corpus)
    kind = KIND.format(lists=list_count(rows))
    places = _Places(corpus)
    root = folder / f"{rows}-vectors"
    say(f"writing {rows:,} vectors")
    reported(folder / f"{rows}-vectors.json", _write, root, corpus, encoder, places)
    say(f"building {kind}")
    request = IndexRequest(kind)
    build_index(root, request=request, encoders=lambda space: encoder)
    opened = _open(root, corpus)
    task = f"{kind}, {rows:,} × {DIM}, k = {K}, one thread"
    own = statistics.fmean(opened.recall(query, None) for query in range(QUERIES))
    plain = in_turns({"plain": lambda query: opened.milliseconds(query, None)}, QUERIES)
    results = [
        Result(SUITE, task, "recall@10 without a filter", own, pool=QUERIES),
        row(task, "milliseconds without a filter", plain["plain"]),
    ]
    for share in [share for share in SHARES if share * rows >= K]:
        say(f"filters that leave {share:.2%}")
        results += _independent(opened, task, share, own)
        for name, distance in (("around the query", 0.0), ("elsewhere", 0.5)):
            results += _by_place(
                opened, f"{task}: {share:.2%} {name}", share, own, places, distance
            )
    return results


def _independent(opened: Opened, task: str, share: float, own: float) -> list[Result]:
    selection, evaluated = opened.evaluated(f"lot < {max(1, round(share * STEPS))}")
    ids = np.flatnonzero(selection.mask)
    copy = copy_rows(opened.exact, ids)
    plain = Selection.from_mask(selection.mask)
    masked = faiss.SearchParameters(sel=plain.selector())
    took = in_turns(
        {
            "filtered": lambda query: opened.milliseconds(query, selection),
            "plain": lambda query: opened.milliseconds(query, None),
            "scan": lambda query: _milliseconds(lambda: copy.search(opened.asked(query), K)),
            "masked": lambda query: _milliseconds(
                lambda: opened.exact.search(opened.asked(query), K, params=masked)
            ),
        },
        QUERIES,
    )
    copying = in_turns(
        {"copy": lambda turn: _milliseconds(lambda: copy_rows(opened.exact, ids))}, COPIES
    )
    bound = max(took["plain"], took["scan"], key=lambda sample: sample.median)
    recall = statistics.fmean(opened.recall(query, selection) for query in range(QUERIES))
    task = f"{task}: {share:.2%} at random"
    return [
        Result(SUITE, task, "recall@10", recall, own, pool=QUERIES),
        row(task, "time ÷ max(unfiltered, scan of what is left)", took["filtered"] / bound, 2.0),
        row(task, "milliseconds", took["filtered"], baseline=bound.median),
        Result(SUITE, task, "milliseconds to evaluate the filter", evaluated),
        row(task, "milliseconds by exact scan with a mask", took["masked"]),
        row(task, "milliseconds to copy the rows first", copying["copy"]),
    ]


def _by_place(
    opened: Opened, task: str, share: float, own: float, places: _Places, distance: float
) -> list[Result]:
    width = max(1, round(share * STEPS))
    recalls, times = [], []
    for query in range(QUERIES):
        first = (places.of(opened.queries[query]) + round(distance * STEPS)) % STEPS
        first = min(first // width * width, STEPS - width)
        selection, _ = opened.evaluated(f"place >= {first} AND place < {first + width}")
        if selection.count:
            recalls.append(opened.recall(query, selection))
            times.append(opened.milliseconds(query, selection))
    return [
        Result(SUITE, task, "recall@10", statistics.fmean(recalls), own, pool=len(recalls)),
        row(task, "milliseconds", Sample(tuple(times))),
    ]


def _milliseconds(search: Callable[[], object]) -> float:
    return 1e3 * seconds(search)


# ---------------------------------------------------------------- the collection


class _Places:
    """Neighbourhoods by k-means, each with a stretch of the column's values."""

    def __init__(self, corpus: GapRows) -> None:
        sample = corpus.block(0, min(corpus.rows, 2 * SEED_ROWS)).astype(np.float32)
        means = faiss.Kmeans(corpus.dim, PLACES, niter=5, spherical=True, seed=0)
        means.cp.min_points_per_centroid = 1
        means.train(sample)
        self._centres: NDArray[np.float32] = means.centroids

    def of(self, vector: NDArray[np.float32]) -> int:
        """The middle of the values around a query."""
        return int(((self._centres @ vector).argmax() + 0.5) * STEPS / PLACES)

    def values(self, vectors: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.int64]:
        """(rows,) values of the column."""
        nearest = (vectors @ self._centres.T).argmax(axis=1)
        values: NDArray[np.int64] = ((nearest + rng.random(len(vectors))) * STEPS / PLACES).astype(
            np.int64
        )
        return values


def _write(root: Path, corpus: GapRows, encoder: GapEncoder, places: _Places) -> Report:
    """A picture for every row, with a random lot and a place."""
    shutil.rmtree(root, ignore_errors=True)  # what a run that was stopped has left
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
        found = places.values(vectors, rng).tolist()
        for vector, lot, place in zip(vectors, lots, found, strict=True):
            info = MediaInfo(
                f"/archive/{number:07}.jpg", Medium.IMAGE, 100_000, 1.7e9, f"{number:064x}",
                columns={"lot": lot, "place": place},
            )  # fmt: skip
            segments = Segments([Medium.IMAGE], untimed, untimed, vector[None])
            yield EmbeddedItem(info, {space: segments})
            number += 1


def _open(root: Path, corpus: GapRows) -> Opened:
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
    return Opened(part, open_index(path), rows, queries, scores)
