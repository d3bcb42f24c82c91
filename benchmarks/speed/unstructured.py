"""Measure `index --kind auto` on rows without structure, where only exact search finds everything.

`python -m benchmarks.speed.unstructured FOLDER [ROWS [RECALL]]` writes a collection of random unit
vectors into FOLDER, chooses its index, and prints one JSON line: the seconds of the choice and of
the whole build, the kind, its recall, and the trials.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.speed.vectors import TextVectors, write_items
from retrieval.search.indexing.build import build_index
from retrieval.search.indexing.request import IndexRequest

DIM = 512
CAPTIONS = 4_096
BLOCK_ROWS = 10_000


def unit_rows(count: int, seed: int) -> NDArray[np.float32]:
    """Draw (count, DIM) unit vectors whose directions are uniform."""
    rows = np.random.default_rng([2, seed]).standard_normal((count, DIM), np.float32)
    unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def measure(folder: Path, rows: int, recall: float) -> dict[str, object]:
    """Write the collection unless it exists, build its index, and return what was measured."""
    encoder = TextVectors(unit_rows(CAPTIONS, 0))
    root = folder / f"unstructured-{rows}"
    if not root.exists():
        write_items(root, _blocks(rows), rows_each=1, encoder=encoder)
    start = time.perf_counter()
    request = IndexRequest(recall=recall)
    (card,) = build_index(root, request=request, encoders=lambda space: encoder)
    return {
        "rows": rows,
        "recall_target": recall,
        "seconds": round(time.perf_counter() - start, 1),
        "kind": card.factory or "exact",
        "reason": card.reason,
        "recall": {str(query): values for query, values in card.measured.recall.items()},
        "trials": [
            [trial.factory or "exact", trial.reached, round(trial.queries_per_second)]
            for trial in card.trials
        ],
    }


def _blocks(rows: int) -> Iterator[NDArray[np.float32]]:
    for seed, first in enumerate(range(0, rows, BLOCK_ROWS), start=1):
        yield unit_rows(min(BLOCK_ROWS, rows - first), seed)


if __name__ == "__main__":
    output, count, target = [*sys.argv[1:], "300000", "0.95"][: max(3, len(sys.argv) - 1)][:3]
    print(json.dumps(measure(Path(output), int(count), float(target))))  # noqa: T201
