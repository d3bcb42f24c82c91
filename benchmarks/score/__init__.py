"""Scores of prediction files, as `retrieval bench score` prints them: one module per format.

Every module has `score(predictions, truth, note)`: it reads both files, and returns the document
that the field's own evaluator writes, with its keys, order and rounding. `note` takes a line about
input that the evaluator accepts, and that may not be what was meant. Input that it stops at is a
`SourceError` here.
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
"""The module of every format, imported when it is asked for."""
