"""Plots the recall of an inverted file for text queries and for media queries.

`python -m benchmarks.speed.text_and_media` writes docs/text-and-media.svg: recall@10 over the
share of visited lists, on generated rows with a modality gap.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.results.figures import Line, line_chart
from benchmarks.speed.gap import GapRows
from indexes.building import build_approximate, build_exact
from indexes.candidates import list_count, training_rows
from indexes.faiss import FaissIndex
from indexes.tuning import QuerySample, TuningOptions, tune
from retrieval.files.writing import write_text

PLOT = Path(__file__).resolve().parents[2] / "docs" / "text-and-media.svg"
ROWS, DIM, QUERIES = 100_000, 512, 300


def measure(rows: int = ROWS) -> dict[str, Line]:
    """Compute (share of visited lists, recall@10 after re-ranking) for both types of query."""
    corpus = GapRows(rows, DIM)
    vectors = np.concatenate(list(corpus.blocks())).astype(np.float32)
    factory = f"IVF{list_count(rows)},SQ8"
    rng = np.random.default_rng(0)
    training = vectors[rng.choice(rows, training_rows(factory, rows), replace=False)]
    index = FaissIndex(build_exact([vectors], DIM), build_approximate(factory, training, [vectors]))
    media = np.sort(rng.choice(rows, QUERIES, replace=False))
    samples = {
        "text": QuerySample.measure(index, corpus.texts(QUERIES)),
        "media": QuerySample.measure(index, vectors[media], media),
    }
    points = tune(index, samples, 1.0, TuningOptions(step=2, full_curve=True)).points
    return {
        name: [
            (point.effort.visited / index.lists, point.recall[name])
            for point in points
            if point.effort
        ]
        for name in samples
    }


def plot(lines: dict[str, Line], rows: int) -> str:
    """Draw the lines as an SVG document over a logarithmic axis."""
    smallest = min(share for line in lines.values() for share, _ in line)
    ticks = [1 / 4**power for power in range(4) if 1 / 4**power >= smallest]
    return line_chart(
        {f"{name} queries": line for name, line in lines.items()},
        title=f"recall@10 by the share of lists visited, {rows:,} × {DIM}, re-ranked exactly",
        ticks={share: f"{share:.1%}" for share in ticks},
    )


if __name__ == "__main__":
    write_text(PLOT, plot(measure(), ROWS))
