"""Quality suites: what `retrieval bench run` measures, one module per suite."""

from __future__ import annotations

from typing import Final

SUITES: Final = {
    "demo": "benchmarks.suites.demo",
    "demo-moments": "benchmarks.suites.demo_moments",
    "demo-video": "benchmarks.suites.demo_video",
    "demo-rerank": "benchmarks.suites.demo_rerank",
    "esc10": "benchmarks.suites.esc10",
    "esc10-moments": "benchmarks.suites.esc10_moments",
}
"""The module of every suite, imported when it is asked for."""

READS_DATA: Final = frozenset({"esc10", "esc10-moments"})
"""Suites on data that others made: `run` takes its folder as `data`."""
