"""A suite whose data is not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.results.tables import Result
from retrieval.errors import SourceError


def run(*, say: Callable[[str], None], folder: Path, scale: float = 1.0) -> list[Result]:
    """Fail as suites do."""
    raise SourceError("captions.json is missing")
