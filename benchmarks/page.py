"""Writes docs/benchmarks.md from benchmarks/results: `python -m benchmarks.page`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from benchmarks.datasets.dataset import DataSet
from benchmarks.results.document import read_document
from benchmarks.results.tables import as_markdown, library_list
from benchmarks.speed import SUBJECTS
from benchmarks.suites import SUITES

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TEMPLATE = RESULTS / "page.md.jinja"
PAGE = ROOT / "docs" / "benchmarks.md"
OUT = "--out benchmarks/results"


def page() -> str:
    """Render the page: the text of the template and a section per document."""
    documents = {path.stem: read_document(path) for path in sorted(RESULTS.glob("*.json"))}
    # The page is Markdown, so nothing is escaped as HTML.
    template = Environment(
        undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    ).from_string(TEMPLATE.read_text())
    return template.render(
        sections=[
            {
                "name": name,
                "machine": _machine(document.machine),
                "table": as_markdown(document.results),
            }
            for name, document in documents.items()
        ],
        unmeasured=unmeasured_rows(
            {name: suite.data_set for name, suite in SUITES.items() if name not in documents},
            [name for name in SUBJECTS if f"speed-{name}" not in documents],
        ),
    )


def unmeasured_rows(suites: Mapping[str, DataSet | None], subjects: Iterable[str]) -> list[str]:
    """Format table rows for unmeasured suites, with empty figures and the commands to run.

    Args:
        suites: The data set of each suite; None for generated data.
        subjects: Names of speed benchmarks.
    """
    return [
        *(
            f"| {name} | {_description(data)} |  | {_published(data)} | `retrieval bench run {name}"
            f"{' --data DIR' if data else ''} {OUT}/{name}.json` |"
            for name, data in suites.items()
        ),
        *(
            f"| speed {name} |  |  |  | `retrieval bench speed {name} {OUT}/speed-{name}.json` |"
            for name in subjects
        ),
    ]


def _description(data: DataSet | None) -> str:
    return f"{data.title}: {data.task}; {data.size}" if data else "generated"


def _published(data: DataSet | None) -> str:
    """List the published figures, by model where it is known."""
    if data is None:
        return ""
    return "; ".join(
        (f"{model}: " if model else "")
        + ", ".join(f"{task} {metric} {value:.4g}" for (task, metric), value in figures.items())
        for model, figures in data.reported.items()
        if figures
    )


def _machine(machine: Mapping[str, Any]) -> str:
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"Python {machine['python']}, {machine['date']}, commit {machine['commit']}. "
        f"{library_list(machine)}."
    )


if __name__ == "__main__":
    PAGE.write_text(page())
