"""Scores of prediction files, equal to those of the official evaluators: one module per format.

Each module has `score(predictions, truth)`, which reads both files and returns the document of the
official evaluator with its keys, order and rounding. Unusual input that the evaluator accepts is
logged as a warning. Input at which it stops raises `SourceError`.
"""

from __future__ import annotations

from typing import Final

FORMATS: Final = {
    "qvhighlights": "benchmarks.score.qvhighlights",
    "tvr": "benchmarks.score.tvr",
    "charades": "benchmarks.score.windows",
    "activitynet": "benchmarks.score.windows",
    "tacos": "benchmarks.score.windows",
    "didemo": "benchmarks.score.windows",
    "didemo-segments": "benchmarks.score.didemo_segments",
    "windows": "benchmarks.score.windows",
    "trec": "benchmarks.score.trec",
    "pairs": "benchmarks.score.pairs",
}
"""The module of each format. Callers import it when they need it."""
