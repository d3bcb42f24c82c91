"""A suite whose data set is missing."""

from __future__ import annotations

from benchmarks.results.outcome import Result
from retrieval.errors import SourceError


def run() -> list[Result]:
    """Fail like a suite without its files."""
    raise SourceError("captions.json is missing")
