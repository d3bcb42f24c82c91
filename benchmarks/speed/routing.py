"""Compares rules that choose the lists of an inverted file for a query, by the rows they visit.

`python -m benchmarks.speed.routing ROWS.npy TEXTS.npy` trains lists for rows, and prints how many
lists and rows a query visits on average until the visited lists hold 90, 95 or 98 % of the ten
nearest rows of all queries. Half of the texts measure the lists, the others are the queries; rows
are queries as well. The rules order lists by centroid or by estimate (`indexes.routing`), and stop
at a rank, at a gap to the best estimate, or at the product of the gap and the root of the rank.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks.speed.own_rows import OwnRows
from indexes.building import build_approximate
from indexes.candidates import list_count, training_rows
from indexes.exact import exact_search
from indexes.routing import ListRouting

NEIGHBOURS = 10
MEDIA_QUERIES = 300
SHARES = (0.9, 0.95, 0.98)

Floats = NDArray[np.floating]

RULES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "rank": lambda gaps, ranks: np.broadcast_to(ranks, gaps.shape),
    "gap": lambda gaps, ranks: gaps,
    "gap · √rank": lambda gaps, ranks: gaps * np.sqrt(ranks),
}


def measure(
    rows: NDArray[np.float16], texts: NDArray[np.float32], lists: int
) -> Iterator[tuple[str, str, str, float, float, float]]:
    """Yield query type, order, rule, share of neighbours, and mean numbers of lists and rows.

    Args:
        rows: (rows, dim) of unit length, distinct.
        texts: (texts, dim) of unit length.
        lists: Number of lists.
    """
    factory, rng = f"IVF{lists},Flat", np.random.default_rng(0)
    training = rng.choice(len(rows), training_rows(factory, len(rows)), replace=False)
    part = build_approximate(factory, rows[np.sort(training)], [rows])
    half = len(texts) // 2
    routing = ListRouting.measure(part, rows, texts[:half])
    assert routing is not None
    inverted = faiss.extract_index_ivf(part)
    sizes = np.array([inverted.invlists.list_size(number) for number in range(lists)])
    list_of = np.empty(len(rows), np.int64)
    for number in np.flatnonzero(sizes).tolist():
        ids = faiss.rev_swig_ptr(inverted.invlists.get_ids(number), int(sizes[number]))
        list_of[ids] = number
    centroids = faiss.downcast_index(inverted.quantizer).reconstruct_n(0, lists)
    own = np.sort(rng.choice(len(rows), MEDIA_QUERIES, replace=False))
    # A row's nearest row is the row itself.
    samples = {"text": (texts[half:], 0), "media": (rows[own].astype(np.float32), 1)}
    for query_type, (queries, skipped) in samples.items():
        nearest = exact_search(rows, queries, NEIGHBOURS + skipped)[1][:, skipped:]
        orders = {
            "centroid": queries @ centroids.T, "estimate": routing.estimates(queries)
        }  # fmt: skip
        for order, scores in orders.items():
            for rule, criterion in RULES.items():
                for share, count, visited in _visited(scores, list_of[nearest], sizes, criterion):
                    yield query_type, order, rule, share, count, visited


def _visited(
    scores: Floats,
    wanted: NDArray[np.int64],
    sizes: NDArray[np.int64],
    criterion: Callable[[Floats, Floats], Floats],
) -> Iterator[tuple[float, float, float]]:
    """Yield each share with the mean numbers of lists and rows of the rule that reaches it."""
    scores = np.where(sizes > 0, scores, np.float32(-1e9))
    order = np.argsort(-scores, axis=1)
    ranks = np.argsort(order, axis=1)
    ordered = np.take_along_axis(scores, order, axis=1)
    values = criterion(ordered[:, :1] - ordered, np.arange(1.0, len(sizes) + 1))
    needed = np.take_along_axis(values, np.take_along_axis(ranks, wanted, axis=1), axis=1)
    rows = np.cumsum(sizes[order], axis=1)
    for share in SHARES:
        counts = (values <= np.quantile(needed, share)).sum(axis=1)
        yield share, counts.mean(), np.take_along_axis(rows, counts[:, None] - 1, axis=1).mean()


def main(rows: str, texts: str) -> None:
    """Print a table of all rules."""
    own = OwnRows(Path(rows), Path(texts))
    vectors = own.block(0, own.rows)
    lists = list_count(own.rows)
    sys.stdout.write(f"{own.name}: {own.rows:,} x {own.dim}, {lists} lists\n")
    for query_type, order, rule, share, count, visited in measure(
        vectors, np.concatenate([own.tune, own.ask]), lists
    ):
        sys.stdout.write(
            f"{query_type:6} {order:9} {rule:12} {share:.2f} {count:7.1f} lists "
            f"{visited:9,.0f} rows\n"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
