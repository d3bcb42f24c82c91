"""Manifests of pairs: lists of media files, or spans of them, with captions."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from retrieval.errors import SourceError, short_repr
from retrieval.media.lists.rows import LIST_EXTENSIONS, ListedRow, read_rows

START_COLUMNS = ("start_seconds", "start")
END_COLUMNS = ("end_seconds", "end")


@dataclass(frozen=True, slots=True)
class MediaSpan:
    """A media file, or the half-open span [start_seconds, end_seconds) of a recording or video.

    An `end_seconds` of None is the end of the file.
    """

    path: str
    start_seconds: float = 0.0
    end_seconds: float | None = None


@dataclass(slots=True)
class CaptionedSpan:
    """A span with its captions and the numbers of their rows in the manifest."""

    span: MediaSpan
    captions: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """An unusable row of a manifest; the reader of lists defines its number."""

    row: int
    reason: str

    def __str__(self) -> str:
        return f"row {self.row}: {self.reason}; skipped"


def read_pairs(manifest: Path) -> tuple[list[CaptionedSpan], list[SkippedRow]]:
    """Read a CSV, TSV, JSONL or Parquet of pairs.

    Columns: the media's path (`path`, `file`, … as for embedding) relative to the manifest's
    folder, `caption` or `text`, and optionally `start_seconds` and `end_seconds` (or `start` and
    `end`). Rows of the same path and span become one span with several captions.

    Returns:
        The spans in the order of their first rows, and the unusable rows.

    Raises:
        SourceError: The manifest cannot be read, or its extension is none of these.
    """
    if manifest.suffix[1:].lower() not in LIST_EXTENSIONS:
        known = ", ".join(f".{name}" for name in LIST_EXTENSIONS)
        raise SourceError(f"{manifest} is not a manifest of pairs, expected one of {known}")
    spans: dict[MediaSpan, CaptionedSpan] = {}
    skipped = []
    for number, row in read_rows(str(manifest)):
        try:
            if isinstance(row, SourceError):
                raise ValueError(str(row).removeprefix(f"{manifest}, row {number}: "))
            span, caption = _parse_pair(row, manifest.parent)
        except ValueError as error:
            skipped.append(SkippedRow(number, str(error)))
            continue
        captioned = spans.setdefault(span, CaptionedSpan(span))
        captioned.captions.append(caption)
        captioned.rows.append(number)
    return list(spans.values()), skipped


def hold_out(
    spans: Sequence[CaptionedSpan], share: float, max_files: int, seed: int
) -> tuple[list[CaptionedSpan], list[CaptionedSpan]]:
    """Split off some files for validation, with all their spans and captions.

    Returns:
        The spans to train on, and the held-out spans of `share` of the files, at most `max_files`.
    """
    files = sorted({captioned.span.path for captioned in spans})
    count = min(max_files, round(share * len(files)))
    rng = np.random.default_rng([seed, len(files)])
    chosen = {files[number] for number in rng.permutation(len(files))[:count]}
    training = [captioned for captioned in spans if captioned.span.path not in chosen]
    return training, [captioned for captioned in spans if captioned.span.path in chosen]


def _parse_pair(row: ListedRow, folder: Path) -> tuple[MediaSpan, str]:
    if not row.caption:
        raise ValueError("no caption, expected a text in the column caption")
    path = os.path.join(os.path.abspath(folder), row.path)
    if not os.path.isfile(path):
        raise ValueError(f"{row.path} is not a file; paths are relative to the manifest's folder")
    start = _parse_seconds(row, START_COLUMNS)
    end = _parse_seconds(row, END_COLUMNS)
    if (start or 0.0) < 0 or (end is not None and end <= (start or 0.0)):
        raise ValueError(f"expected 0 <= start < end, got [{start}, {end}) seconds")
    return MediaSpan(path, start or 0.0, end), row.caption


def _parse_seconds(row: ListedRow, names: Sequence[str]) -> float | None:
    name = next((name for name in names if row.columns.get(name) is not None), None)
    if name is None:
        return None
    value = row.columns[name]
    try:
        seconds = float(value) if not isinstance(value, bool) else math.nan  # type: ignore[arg-type]
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise ValueError(f"{name} is {short_repr(value)}, expected seconds")
    return seconds
