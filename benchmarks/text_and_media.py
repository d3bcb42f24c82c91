"""Draws how differently texts and media find their neighbours.

`python -m benchmarks.text_and_media` writes docs/text-and-media.svg: recall@10 over the share of an
inverted file's lists that is visited, for text queries and for rows as queries, on generated rows
with a modality gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.speed.gap import GapRows
from indexes.building import build_approximate, build_exact
from indexes.choose import lists_for, training_rows
from indexes.faiss import FaissIndex
from indexes.tuning import QuerySample, tune

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "text-and-media.svg"
ROWS, DIM, QUERIES = 100_000, 512, 300
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 320, 52, 40, 20
COLOURS = {"text": "#c0392b", "media": "#2471a3"}


def measure(rows: int = ROWS) -> dict[str, list[tuple[float, float]]]:
    """(share of the lists visited, recall@10 after re-ranking) by kind of query."""
    corpus = GapRows(rows, DIM)
    vectors = np.concatenate(list(corpus.blocks())).astype(np.float32)
    factory = f"IVF{lists_for(rows)},SQ8"
    rng = np.random.default_rng(0)
    training = vectors[rng.choice(rows, training_rows(factory, rows), replace=False)]
    index = FaissIndex(build_exact([vectors], DIM), build_approximate(factory, training, [vectors]))
    own = np.sort(rng.choice(rows, QUERIES, replace=False))
    samples = {
        "text": QuerySample.of(index, corpus.texts(QUERIES)),
        "media": QuerySample.of(index, vectors[own], own),
    }
    points = tune(index, samples, 1.0, step=2).points
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
    wide, high = WIDTH - LEFT - 20, HEIGHT - TOP - BOTTOM

    def at(share: float, recall: float) -> str:
        x = LEFT + wide * (1 - np.log(share) / np.log(least))
        return f"{x:.1f},{TOP + high * (1 - recall):.1f}"

    parts = []
    for number, (kind, line) in enumerate(lines.items()):
        points = " ".join(at(*point) for point in line)
        colour = COLOURS[kind]
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        parts.append(_text(LEFT + 12, TOP + 18 * (number + 1), f"{kind} queries", colour))
    for tenth in range(0, 11, 2):
        y = TOP + high * (1 - tenth / 10)
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + wide}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{tenth / 10:g}", "#555", "end"))
    for share in _shares(least):
        x = float(at(share, 0).split(",")[0])
        parts.append(_text(x, HEIGHT - BOTTOM + 16, f"{share:.1%}", "#555", "middle"))
    title = f"recall@10 by the share of lists visited, {rows:,} × {DIM}, re-ranked exactly"
    parts.append(_text(LEFT + wide / 2, HEIGHT - 6, title, "#222", "middle"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{title}"><style>text{{font:12px sans-serif}}</style>{"".join(parts)}</svg>\n'
    )


def _shares(least: float) -> Sequence[float]:
    return [1 / 4**power for power in range(4) if 1 / 4**power >= least]


def _text(x: float, y: float, text: str, colour: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}">{text}</text>'


if __name__ == "__main__":
    PICTURE.write_text(draw(measure(), ROWS))
