"""A run as one HTML page: its figures, recall curves, overlaps, and its best and worst queries.

The page needs nothing beside it: pictures are inside it, and nothing in it is run or fetched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from benchmarks.results.examples import examples
from benchmarks.results.figures import Line, histogram, line_chart
from benchmarks.results.outcome import Answers, MomentAnswer, Outcome, RankedAnswer
from benchmarks.results.tables import Result
from retrieval.gallery.page import as_text, write_page

FOOTER = (
    "Success is the share of queries that find a relevant item among the first k answers. "
    "Faded answers are wrong. Orange marks the moment found, green the true one."
)
TICKS = (1, 2, 5, 10, 20, 50, 100)
OVERLAPS = (0.5, 0.7)
BINS = 20
COLUMNS = ("value", "spread", "goal", "baseline", "chance", "published")


def write_html(out: Path, sections: Sequence[str], machine: Mapping[str, Any], title: str) -> None:
    """Write the page of some suites' sections.

    Raises:
        StorageError: The file cannot be written.
    """
    about = f"<section><p>{as_text(_about(machine))}</p></section>"
    content = Markup("\n".join([about, *sections]))
    write_page(out, title=title, footer=FOOTER, content=content)


def suite_sections(outcome: Outcome) -> str:
    """What a page shows of an outcome; its media must still lie where its answers say."""
    sections = []
    for suite in dict.fromkeys(result.suite for result in outcome.results):
        results = [result for result in outcome.results if result.suite == suite]
        answers = [task for task in outcome.answers if task.suite == suite and task.answers]
        sections.append(
            f"<section>\n<h2>{as_text(suite)}</h2>\n{_table(results)}\n{_figures(answers)}</section>"
        )
        sections += [examples(task) for task in answers]
    return "\n".join(sections)


def _about(machine: Mapping[str, Any]) -> str:
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    return (
        f"{machine['date']}, commit {machine['commit']}: {machine['processor']}, "
        f"{machine['cores']} cores, Python {machine['python']}, {libraries}"
    )


def _table(results: Sequence[Result]) -> str:
    shown = [name for name in COLUMNS if any(getattr(row, name) is not None for row in results)]
    head = "".join(f"<th>{name}</th>" for name in (*shown, "pool"))
    rows = "\n".join(
        f'<tr><td class="name">{as_text(row.task)}</td><td class="name">{as_text(row.metric)}</td>'
        + "".join(f"<td>{_number(getattr(row, name))}</td>" for name in shown)
        + f"<td>{'' if row.pool is None else f'{row.pool:,}'}</td></tr>"
        for row in results
    )
    return (
        f'<table>\n<tr><th class="name">task</th><th class="name">metric</th>{head}</tr>\n'
        f"{rows}\n</table>"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


# ---------------------------------------------------------------- figures


def _figures(answers: Sequence[Answers]) -> str:
    rankings, moments = {}, {}
    parts = []
    for task in answers:
        ranked = [answer for answer in task.answers if isinstance(answer, RankedAnswer)]
        spans = [answer for answer in task.answers if isinstance(answer, MomentAnswer)]
        if ranked:
            ranks = [answer.first_relevant_rank for answer in ranked]
            depth = max(len(answer.items) for answer in ranked)
            rankings[task.task] = success_curve(ranks, depth)
        else:
            depth = max(len(answer.moments) for answer in spans)
            for iou in OVERLAPS:
                ranks = [_first_overlapping(answer, iou) for answer in spans]
                moments[f"{task.task}, IoU {iou}"] = success_curve(ranks, depth)
            parts.append(_overlaps(task.task, spans))
    curves = {
        "success over the first k items": rankings,
        "success over the first k moments": moments,
    }
    drawn = [_curves(title, lines) for title, lines in curves.items() if lines]
    return "".join(f'<div class="figure">{figure}</div>\n' for figure in (*drawn, *parts))


def success_curve(ranks: Sequence[int | None], depth: int) -> Line:
    """(k, success@k) wherever it changes.

    Args:
        ranks: Of each query's first right answer; None where there was none.
        depth: Answers of a query; nothing is known of larger k.
    """
    last = max(1, min(depth, TICKS[-1]))
    found = sorted(rank for rank in ranks if rank is not None and rank <= last)
    kept = sorted({1, last, *found})
    counts = np.searchsorted(found, kept, side="right")
    return [(k, float(count) / len(ranks)) for k, count in zip(kept, counts, strict=True)]


def _curves(title: str, lines: Mapping[str, Line]) -> str:
    last = max(line[-1][0] for line in lines.values())
    return line_chart(lines, title=title, ticks={k: str(k) for k in TICKS if k <= last})


def _first_overlapping(answer: MomentAnswer, iou: float) -> int | None:
    return next((n for n, value in enumerate(answer.overlaps, 1) if value >= iou), None)


def _overlaps(task: str, answers: Sequence[MomentAnswer]) -> str:
    first = [one.overlaps[0] if one.moments else 0.0 for one in answers]
    counts, _ = np.histogram(first, bins=BINS, range=(0, 1))
    shares = [float(share) for share in counts / len(first)]
    title = f"{task}: share of the queries by the first moment's overlap (IoU)"
    return histogram(shares, title=title, ticks=("0", "0.25", "0.5", "0.75", "1"))
