"""Quality suites: what `retrieval bench run` measures, one module per suite."""

from __future__ import annotations

from typing import Final

SUITES: Final = {
    "demo": "benchmarks.suites.demo",
    "demo-moments": "benchmarks.suites.demo_moments",
}
"""The module of every suite, imported when it is asked for."""
