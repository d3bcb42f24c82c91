"""Exports of hits, in this process."""

from __future__ import annotations

from pathlib import Path

from retrieval.timelines.export import export
from retrieval.timelines.moments import QueryHits
from retrieval.timelines.options import ExportOptions, ExportReport
from retrieval.types import Hit, Medium


def hit_of(
    uri: object,
    start: float | None = None,
    end: float | None = None,
    *,
    rank: int = 1,
    modality: Medium = Medium.VIDEO,
    caption: str | None = None,
    score: float | None = 0.25,
) -> Hit:
    """A hit with times, or of a whole file."""
    metadata = {} if caption is None else {"caption": caption}
    space = "s" if score is not None else None
    return Hit(rank, score, rank, str(uri), modality, modality, start, end, space, True, metadata)  # type: ignore[arg-type]


def export_here(
    hits: list[Hit], out: object, query: str = "bars", **options: object
) -> ExportReport:
    """Export without a worker process."""
    given = ExportOptions(in_process=True, **options)  # type: ignore[arg-type]
    return export([QueryHits(query, tuple(hits))], str(out), given)


def cut(path: Path, start: float, end: float, out: object, **options: object) -> Path:
    """Export one clip of a video; it must succeed."""
    report = export_here([hit_of(path, start, end)], out, **options)
    assert report.failures == ()
    return report.files[0].path
