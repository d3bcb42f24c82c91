"""Reads the subtitles of TVR, and which of its queries need them.

`tvqa_preprocessed_subtitles.jsonl` has one line per video:
`{"vid_name": "…", "sub": [{"text": "Monica : There's nothing", "start": 0.1, "end": 2.3}, …]}`,
with times in seconds. Lei et al., ECCV 2020 (2001.09099).
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from benchmarks.hybrid.comparison import Group
from retrieval.errors import SourceError, short_repr
from retrieval.files.reading import open_regular
from retrieval.types import TextSource, TimedText

SUBTITLES: Final = "tvqa_preprocessed_subtitles.jsonl"

GROUPS: Final = {"v": Group.VECTORS, "t": Group.WORDS, "vt": Group.BOTH}
"""Groups by the official type of a query: annotators said whether it describes the video, the
subtitles (t), or both."""

Parsed = TypeVar("Parsed")


def read_subtitles(path: Path, videos: Iterable[str]) -> dict[str, list[TimedText]]:
    """Read the cues of some videos; the official file holds those of all splits.

    Cues without words or without a length are left out, because some official ones have none.

    Raises:
        SourceError: The file cannot be read, or a line is in another format; the message names
            the line.
    """
    wanted = set(videos)
    return {
        video: cues for video, cues in _parsed_lines(path, _video_cues) if video in wanted
    }  # fmt: skip


def read_groups(path: Path) -> Mapping[str, Group]:
    """Read the group of each query, by its id, from the annotations of a split.

    Raises:
        SourceError: The file cannot be read, or a line has no id or no known type; the message
            names the line.
    """
    return dict(_parsed_lines(path, _query_group))


def _parsed_lines(path: Path, parse: Callable[[Any], Parsed]) -> Iterator[Parsed]:
    """Parse the lines of a JSON lines file; empty lines are skipped."""
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _parsed(path, number, line, parse)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: is not UTF-8 text") from error


def _parsed(path: Path, number: int, line: str, parse: Callable[[Any], Parsed]) -> Parsed:
    where = f"{path}, line {number}"
    try:
        return parse(json.loads(line))
    except json.JSONDecodeError as error:
        raise SourceError(f"{where}: not JSON ({error.msg}, column {error.colno})") from error
    except KeyError as error:
        raise SourceError(f"{where}: lacks {error}") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise SourceError(f"{where}: {error}") from error


def _video_cues(raw: Any) -> tuple[str, list[TimedText]]:
    cues = [_cue(cue) for cue in _of_type(raw["sub"], list)]
    return _of_type(raw["vid_name"], str), [cue for cue in cues if cue is not None]


def _cue(raw: Any) -> TimedText | None:
    text = _of_type(raw["text"], str).strip()
    start, end = (float(raw[name]) for name in ("start", "end"))
    if not (math.isfinite(start) and math.isfinite(end) and start >= 0):
        raise ValueError(f"{short_repr(raw)} has no valid times")
    return TimedText(TextSource.TRANSCRIPT, text, start, end) if text and start < end else None


def _query_group(raw: Any) -> tuple[str, Group]:
    if raw["type"] not in GROUPS:
        raise ValueError(f"the type is {short_repr(raw['type'])}, expected v, t or vt")
    return str(raw["desc_id"]), GROUPS[raw["type"]]


def _of_type(value: Any, expected: type[Parsed]) -> Parsed:
    if not isinstance(value, expected):
        raise TypeError(f"{short_repr(value)} is no {expected.__name__}")
    return value
