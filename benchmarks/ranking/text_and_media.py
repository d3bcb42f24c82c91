"""Draws how differently texts and media find their neighbours.

`python -m benchmarks.ranking.text_and_media` writes
docs/text-and-media.svg: recall@10 over the share of an
inverted file's lists that is visited, for text queries and for rows as queries, on generated rows
with a modality gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.results.figures import line_chart
from benchmarks.speed.gap import GapRows
from indexes.building import build_approximate, build_exact
from indexes.candidates import list_count, training_rows
from indexes.faiss import FaissIndex
from indexes.tuning import QuerySample, TuningOptions, tune

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "text-and-media.svg"
ROWS, DIM, QUERIES = 100_000, 512, 300


def measure(rows: int = ROWS) -> dict[str, list[tuple[float, float]]]:
    """(share of the lists visited, recall@10 after re-ranking) by kind of query."""
    corpus = GapRows(rows, DIM)
    vectors = np.concatenate(list(corpus.blocks())).astype(np.float32)
    factory = f"IVF{list_count(rows)},SQ8"
    rng = np.random.default_rng(0)
    training = vectors[rng.choice(rows, training_rows(factory, rows), replace=False)]
    index = FaissIndex(build_exact([vectors], DIM), build_approximate(factory, training, [vectors]))
    own = np.sort(rng.choice(rows, QUERIES, replace=False))
    samples = {
        "text": QuerySample.measure(index, corpus.texts(QUERIES)),
        "media": QuerySample.measure(index, vectors[own], own),
    }
    points = tune(index, samples, 1.0, TuningOptions(step=2, full_curve=True)).points
    return {
        kind: [
            (point.effort.visited / index.lists, point.recall[kind])
            for point in points
            if point.effort
        ]
        for kind in samples
    }


def draw(lines: dict[str, list[tuple[float, float]]], rows: int) -> str:
    """An SVG document; shares of lists on a logarithmic axis."""
    least = min(share for line in lines.values() for share, _ in line)
    return line_chart(
        {f"{kind} queries": line for kind, line in lines.items()},
        title=f"recall@10 by the share of lists visited, {rows:,} × {DIM}, re-ranked exactly",
        ticks={share: f"{share:.1%}" for share in _shares(least)},
    )


def _shares(least: float) -> Sequence[float]:
    return [1 / 4**power for power in range(4) if 1 / 4**power >= least]


if __name__ == "__main__":
    PICTURE.write_text(draw(measure(), ROWS))
