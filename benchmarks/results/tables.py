"""Results as JSON documents and Markdown tables, with a description of the machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.results.outcome import QueryValues, Result

LIBRARIES = ("torch", "open_clip_torch", "faiss-gpu-cuvs", "faiss-cpu", "pyarrow", "duckdb",
             "numpy", "pillow", "av", "soundfile")  # fmt: skip


def machine() -> dict[str, Any]:
    """Describe the machine and the library versions of this run."""
    libraries = {}
    for library in LIBRARIES:
        try:
            libraries[library] = version(library)
        except PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "libraries": libraries,
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


def library_list(machine: Mapping[str, Any]) -> str:
    """List the library versions of a machine on one line."""
    return ", ".join(f"{name} {number}" for name, number in machine["libraries"].items())


def as_json(results: Sequence[Result], queries: Sequence[QueryValues] = ()) -> str:
    """Serialize a result document; `benchmarks.results.document` parses it."""
    document = {"machine": machine(), "results": [asdict(result) for result in results]}
    text = json.dumps(document, indent=1)
    if not queries:
        return text
    # The values of a task stay on one line: one number per line would make thousands of lines.
    lines = ",\n".join(f"  {json.dumps(_query_row(values))}" for values in queries)
    return f'{text[: text.rindex("}")].rstrip()},\n "queries": [\n{lines}\n ]\n}}'


def _query_row(values: QueryValues) -> dict[str, object]:
    columns = {
        # Whole numbers, such as hits and misses, are shorter as integers.
        name: [int(value) if float(value).is_integer() else float(value) for value in column]
        for name, column in values.values.items()
    }
    return {
        "suite": values.suite, "task": values.task, "ids": list(values.ids), "values": columns,
    }  # fmt: skip


def as_markdown(results: Sequence[Result]) -> str:
    """Render one table."""
    columns = ["value", "goal", "baseline", "chance"]
    if any(result.low is not None for result in results):
        columns[1:1] = ["low", "high"]
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
    """Render a table per suite below its name, or a table alone for a single suite."""
    suites = list(dict.fromkeys(result.suite for result in results))
    tables = [as_markdown([row for row in results if row.suite == suite]) for suite in suites]
    if len(tables) == 1:
        return tables[0]
    return "\n\n".join(f"{suite}\n\n{table}" for suite, table in zip(suites, tables, strict=True))
