"""Counts requests and times, and prints them in Prometheus' text format."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

Labels = tuple[tuple[str, str], ...]

PREFIX = "retrieval_"


class Metrics:
    """Counters of one server; used in the event loop only."""

    def __init__(self) -> None:
        self._requests: Counter[Labels] = Counter()
        self._stage_seconds: defaultdict[Labels, float] = defaultdict(float)
        self._stage_counts: Counter[Labels] = Counter()

    def count_request(self, route: str, status: int) -> None:
        """Count one response."""
        self._requests[("route", route), ("status", str(status))] += 1

    def count_stages(self, took_ms: Mapping[str, float]) -> None:
        """Add the times of one search."""
        for stage, milliseconds in took_ms.items():
            self._stage_seconds[("stage", stage),] += milliseconds / 1e3
            self._stage_counts[("stage", stage),] += 1

    def text(self, gauges: Mapping[str, Iterable[tuple[Labels, float]]]) -> str:
        """Format all counters, and gauges by name."""
        lines = [
            *_family("requests_total", "counter", self._requests.items()),
            *_family("search_stage_seconds_sum", "counter", self._stage_seconds.items()),
            *_family("search_stage_seconds_count", "counter", self._stage_counts.items()),
        ]
        for name, samples in gauges.items():
            lines += _family(name, "gauge", samples)
        return "\n".join(lines) + "\n"


def resident_bytes() -> float:
    """Return the resident memory of this process; 0 where it is not known."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * float(os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, IndexError):
        return 0.0


def _family(name: str, kind: str, samples: Iterable[tuple[Labels, float]]) -> Iterator[str]:
    yield f"# TYPE {PREFIX}{name} {kind}"
    for labels, value in sorted(samples):
        inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
        yield f"{PREFIX}{name}{{{inner}}} {value}" if inner else f"{PREFIX}{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
