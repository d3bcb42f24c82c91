"""Renders a run as one self-contained HTML page: tables, curves, and the best and worst queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results.examples import Example, best_and_worst
from benchmarks.results.figures import Line, histogram, line_chart
from benchmarks.results.outcome import Answers, MomentAnswer, Outcome, RankedAnswer, Result
from benchmarks.results.tables import library_list
from retrieval.files.writing import write_text
from retrieval.gallery.templates import render

TICKS = (1, 2, 5, 10, 20, 50, 100)
OVERLAPS = (0.5, 0.7)
BINS = 20
FOOTER = (
    "Success is the share of queries that find a relevant item among the first k answers. Faded "
    "answers are wrong. Orange marks the moment that was found, green the true one."
)
COLUMNS = ("value", "spread", "low", "high", "goal", "baseline", "chance", "published")


@dataclass(frozen=True, slots=True)
class SuiteSection:
    """The content of the page for one suite.

    Attributes:
        columns: The columns of `results` that hold a number.
        figures: SVG.
    """

    suite: str
    columns: Sequence[str]
    results: Sequence[Result]
    figures: Sequence[str]
    examples: Sequence[Example]


def suite_sections(outcome: Outcome) -> list[SuiteSection]:
    """Build the sections of an outcome. The media files of its answers must exist."""
    sections = []
    for suite in dict.fromkeys(result.suite for result in outcome.results):
        results = [result for result in outcome.results if result.suite == suite]
        answers = [task for task in outcome.answers if task.suite == suite and task.answers]
        sections.append(
            SuiteSection(
                suite,
                [
                    each
                    for each in COLUMNS
                    if any(getattr(row, each) is not None for row in results)
                ],
                results,
                _figures(answers),
                [example for task in answers for example in best_and_worst(task)],
            )
        )
    return sections


def write_html(
    out: Path, sections: Sequence[SuiteSection], machine: Mapping[str, Any], title: str
) -> None:
    """Write the page.

    Raises:
        StorageError: The file cannot be written.
    """
    page = render(
        "report.html",
        package="benchmarks.results",
        sections=sections,
        machine=machine,
        libraries=library_list(machine),
        title=title,
        footer=FOOTER,
    )
    # Names of files can hold lone surrogates, which UTF-8 cannot encode.
    write_text(out, page.encode("utf-8", "replace").decode())


def _figures(answers: Sequence[Answers]) -> list[str]:
    rankings, moments = {}, {}
    histograms = []
    for task in answers:
        ranked = [answer for answer in task.answers if isinstance(answer, RankedAnswer)]
        localized = [answer for answer in task.answers if isinstance(answer, MomentAnswer)]
        if ranked:
            ranks = [answer.first_relevant_rank for answer in ranked]
            depth = max(len(answer.items) for answer in ranked)
            rankings[task.task] = success_curve(ranks, depth)
        else:
            depth = max(len(answer.moments) for answer in localized)
            for iou in OVERLAPS:
                ranks = [_first_overlapping(answer, iou) for answer in localized]
                moments[f"{task.task}, IoU {iou}"] = success_curve(ranks, depth)
            histograms.append(_overlap_histogram(task.task, localized))
    charts = {
        "success over the first k items": rankings,
        "success over the first k moments": moments,
    }
    return [*(_chart(title, lines) for title, lines in charts.items() if lines), *histograms]


def success_curve(ranks: Sequence[int | None], depth: int) -> Line:
    """Compute (k, success@k) for every k at which the success changes.

    Args:
        ranks: Rank of the first correct answer of each query, or None.
        depth: Number of answers per query; larger k are unknown.
    """
    last = max(1, min(depth, TICKS[-1]))
    hits = sorted(rank for rank in ranks if rank is not None and rank <= last)
    positions = sorted({1, last, *hits})
    counts = np.searchsorted(hits, positions, side="right")
    return [(k, float(count) / len(ranks)) for k, count in zip(positions, counts, strict=True)]


def _chart(title: str, lines: Mapping[str, Line]) -> str:
    last = max(line[-1][0] for line in lines.values())
    return line_chart(lines, title=title, ticks={k: str(k) for k in TICKS if k <= last})


def _first_overlapping(answer: MomentAnswer, iou: float) -> int | None:
    return next((n for n, value in enumerate(answer.overlaps, 1) if value >= iou), None)


def _overlap_histogram(task: str, answers: Sequence[MomentAnswer]) -> str:
    overlaps = [answer.first_overlap for answer in answers]
    counts, _ = np.histogram(overlaps, bins=BINS, range=(0, 1))
    shares = [float(share) for share in counts / len(overlaps)]
    return histogram(
        shares, title=f"{task}: share of the queries by the first moment's overlap (IoU)"
    )
