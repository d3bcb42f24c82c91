"""A manifest of pairs: which media belong to which captions, read row by row, bad rows told."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from retrieval.errors import SourceError, short_repr
from retrieval.media.lists.rows import LIST_EXTENSIONS, ListedRow, read_rows

START_COLUMNS = ("start_seconds", "start")
END_COLUMNS = ("end_seconds", "end")
REPORTED = 20
"""Bad rows that are told one by one."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A media file, or the half-open span [start_seconds, end_seconds) of a recording.

    `end_seconds` None: to its end.
    """

    path: str
    start_seconds: float = 0.0
    end_seconds: float | None = None


@dataclass(slots=True)
class CaptionedClip:
    """A clip with all the captions that the manifest gives it, and the rows that they stand in."""

    clip: Clip
    captions: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used; its number as the reader of lists counts it."""

    row: int
    reason: str

    def __str__(self) -> str:
        return f"row {self.row}: {self.reason}; skipped"


def read_pairs(manifest: Path) -> tuple[list[CaptionedClip], list[BadRow]]:
    """Read a CSV, TSV, JSONL or Parquet of pairs.

    Columns: the media's path (`path`, `file`, … as `embed` knows them) relative to the manifest's
    folder, `caption` or `text`, and optionally `start_seconds` and `end_seconds` (or `start` and
    `end`). Rows of the same path and span are one clip with several captions.

    Returns:
        The clips in order of their first rows, and the rows that cannot be used.

    Raises:
        SourceError: The manifest cannot be read, or its extension is none of these.
    """
    if manifest.suffix[1:].lower() not in LIST_EXTENSIONS:
        known = ", ".join(f".{name}" for name in LIST_EXTENSIONS)
        raise SourceError(f"{manifest} is no manifest of pairs, expected one of {known}")
    clips: dict[Clip, CaptionedClip] = {}
    bad = []
    for number, row in read_rows(str(manifest)):
        if isinstance(row, SourceError):
            bad.append(BadRow(number, _short(manifest, number, row)))
            continue
        try:
            clip, caption = _pair(row, manifest.parent)
        except ValueError as error:
            bad.append(BadRow(number, str(error)))
            continue
        found = clips.setdefault(clip, CaptionedClip(clip))
        found.captions.append(caption)
        found.rows.append(number)
    return list(clips.values()), bad


def tell_bad_rows(manifest: Path, bad: Sequence[BadRow]) -> Iterable[str]:
    """Lines that name the bad rows, the first twenty of them one by one."""
    for row in sorted(bad, key=lambda one: one.row)[:REPORTED]:
        yield f"{manifest}, {row}"
    if len(bad) > REPORTED:
        yield f"{manifest}: {len(bad) - REPORTED} more rows skipped"


def hold_out(
    clips: Sequence[CaptionedClip], share: float, most: int, seed: int
) -> tuple[list[CaptionedClip], list[CaptionedClip]]:
    """Split off some files for validation, with all their spans and captions.

    Returns:
        The clips to train on, and those held out: `share` of the files, at most `most`.
    """
    files = sorted({one.clip.path for one in clips})
    count = min(most, round(share * len(files)))
    rng = np.random.default_rng([seed, len(files)])
    chosen = {files[number] for number in rng.permutation(len(files))[:count]}
    kept = [one for one in clips if one.clip.path not in chosen]
    return kept, [one for one in clips if one.clip.path in chosen]


def _pair(row: ListedRow, folder: Path) -> tuple[Clip, str]:
    if not row.caption:
        raise ValueError("no caption, expected a text in the column caption")
    path = os.path.join(os.path.abspath(folder), row.path)
    if not os.path.isfile(path):
        raise ValueError(f"{row.path} is no file; paths are relative to the manifest's folder")
    start = _seconds(row, START_COLUMNS)
    end = _seconds(row, END_COLUMNS)
    if (start or 0.0) < 0 or (end is not None and end <= (start or 0.0)):
        raise ValueError(f"needs 0 <= start < end, got [{start}, {end}) seconds")
    return Clip(path, start or 0.0, end), row.caption


def _seconds(row: ListedRow, names: Sequence[str]) -> float | None:
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


def _short(manifest: Path, number: int, error: SourceError) -> str:
    return str(error).removeprefix(f"{manifest}, row {number}: ")
