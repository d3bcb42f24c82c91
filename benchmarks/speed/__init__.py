"""Speed and memory: what `retrieval bench speed` measures, one module per subject.

Every figure with a goal is a ratio or a difference within one run, so that noisy machines can be
compared. `run` of a subject takes a folder to write into and the share of its full size.
"""

from __future__ import annotations

from typing import Final

SUITE: Final = "speed"

SUBJECTS: Final = {
    "embed": "benchmarks.speed.embedding",
    "decode": "benchmarks.speed.decode",
    "video": "benchmarks.speed.video",
    "search": "benchmarks.speed.search",
    "filter": "benchmarks.speed.filter",
    "index": "benchmarks.speed.index",
    "index-large": "benchmarks.speed.index_large",
    "localize": "benchmarks.speed.localize",
    "memory": "benchmarks.speed.memory",
    "startup": "benchmarks.speed.startup",
    "gpu": "benchmarks.speed.gpu",
}
"""The module of every subject, imported when it is asked for."""

BY_NAME_ONLY: Final = frozenset({"index", "index-large", "gpu"})
"""Subjects that take hours and many gigabytes of disk, or that not every machine can measure."""
