"""What a benchmark prints: the machine it ran on, and rows of results."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.results.outcome import QueryValues

LIBRARIES = ("torch", "open_clip_torch", "faiss-gpu-cuvs", "faiss-cpu", "pyarrow", "duckdb",
             "numpy", "pillow", "av", "soundfile")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Result:
    """One figure of one suite; what is not known is None.

    Attributes:
        goal: What it should reach.
        baseline: What a simple method reaches on the same data.
        chance: What guessing reaches.
        published: What the literature reports.
        pool: Size of the gallery, or queries asked.
        spread: Of repeated measurements, whose median the value is: the range of their middle half.
    """

    suite: str
    task: str
    metric: str
    value: float | None
    goal: float | None = None
    baseline: float | None = None
    chance: float | None = None
    published: float | None = None
    pool: int | None = None
    spread: float | None = None


def machine() -> dict[str, object]:
    """Where and with what the figures were measured."""
    installed = {}
    for library in LIBRARIES:
        try:
            installed[library] = version(library)
        except PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "libraries": installed,
        "commit": _commit(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _commit() -> str | None:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def as_json(results: Sequence[Result], queries: Sequence[QueryValues] = ()) -> str:
    """The document that `bench --format json` prints; `benchmarks.results.document` reads it."""
    document = {"machine": machine(), "results": [asdict(result) for result in results]}
    text = json.dumps(document, indent=1)
    if not queries:
        return text
    # The numbers of a task stay on one line: thousands of lines of one number help nobody.
    lines = ",\n".join(f"  {json.dumps(_query_row(values))}" for values in queries)
    return f'{text[: text.rindex("}")].rstrip()},\n "queries": [\n{lines}\n ]\n}}'


def _query_row(values: QueryValues) -> dict[str, object]:
    return {
        "suite": values.suite,
        "task": values.task,
        "ids": list(values.ids),
        "values": {name: [_plain(one) for one in column] for name, column in values.values.items()},
    }


def _plain(value: float) -> float | int:
    """A number as JSON writes it shortest: hits and misses are whole."""
    value = float(value)
    return int(value) if value.is_integer() else value


def as_markdown(results: Sequence[Result]) -> str:
    """A table for people."""
    columns = ["value", "goal", "baseline", "chance"]
    if any(result.spread is not None for result in results):
        columns.insert(1, "spread")
    if any(result.published is not None for result in results):
        columns.append("published")
    lines = [f"| task | metric | {' | '.join(columns)} | pool |",
             f"| --- | --- |{' ---: |' * (len(columns) + 1)}"]  # fmt: skip
    for result in results:
        numbers = [getattr(result, column) for column in columns]
        cells = " | ".join("" if number is None else f"{number:.4g}" for number in numbers)
        lines.append(f"| {result.task} | {result.metric} | {cells} | {result.pool or ''} |")
    return "\n".join(lines)


def as_tables(results: Sequence[Result]) -> str:
    """A table per suite, below its name; the table alone where there is one suite."""
    suites = list(dict.fromkeys(result.suite for result in results))
    tables = [as_markdown([row for row in results if row.suite == suite]) for suite in suites]
    if len(tables) == 1:
        return tables[0]
    return "\n\n".join(f"{suite}\n\n{table}" for suite, table in zip(suites, tables, strict=True))
