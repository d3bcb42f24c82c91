"""Reads annotated moments in the formats of their data sets.

| data set | line or entry | id |
| --- | --- | --- |
| QVHighlights; Charades-STA, TACoS, ActivityNet in lighthouse's format | `{"qid", "vid", "query", "duration", "relevant_windows"}` | `qid` |
| TVR | `{"desc_id", "vid_name", "desc", "duration", "ts"}` | `desc_id` |
| ActivityNet Captions | `{"v_…": {"duration", "timestamps", "sentences"}}` | video and number |
| TACoS | `{"s13-d21.avi": {"timestamps", "sentences", "fps", "num_frames"}}`, in frames | video and number |
| Charades-STA | `3MSZA 24.3 30.4##person turn a light on.` | line number |
| DiDeMo | `[{"annotation_id", "video", "description", "times", "num_segments"}]`, in 5-s segments | `annotation_id` |
"""  # noqa: E501

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import multimode
from typing import Any, Final

from retrieval.errors import SourceError, short_repr
from retrieval.files.reading import open_regular, read_text
from retrieval.localization.spans import Span

FORMATS: Final = "QVHighlights, TVR, ActivityNet Captions, Charades-STA, TACoS, DiDeMo"
DIDEMO_SECONDS: Final = 5.0
ROUNDED_SECONDS: Final = 2.0
"""Maximum extent of official windows beyond their video, from rounding up to the end of a clip."""


@dataclass(frozen=True, slots=True)
class AnnotatedQuery:
    """A query, the spans of its video that answer it, and the duration of the video if known.

    `query_id` is the id in the data set, or the number of the entry from 0 if it has none.
    """

    video_id: str
    query: str
    windows: tuple[Span, ...]
    duration_seconds: float | None
    query_id: str


def read_annotations(path: Path, *, strict: bool = False) -> Iterator[AnnotatedQuery]:
    """Read a file in any of the formats above; queries without a window are skipped.

    Args:
        path: The file.
        strict: Refuse windows that end before they start in all formats. Otherwise those of
            ActivityNet Captions, TACoS and Charades-STA are swapped, since their official files
            contain some.

    Raises:
        SourceError: The file cannot be read, or an entry has an unknown format, lacks a field, or
            has an impossible window. The message names the file and the line, or the entry of a
            .json file.
    """
    where, number = str(path), 0
    try:
        for position, raw in _entries(path):
            where = f"{path}, {position}"
            for query in _queries(raw, number, strict=strict):
                if query.windows:
                    yield query
            number += 1
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror})") from error
    except json.JSONDecodeError as error:
        if path.suffix == ".json":
            where = f"{path}, line {error.lineno}"
        raise SourceError(f"{where}: not JSON ({error.msg}, column {error.colno})") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: is not UTF-8 text") from error
    except KeyError as error:
        raise SourceError(f"{where}: lacks {error}") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise SourceError(f"{where}: {error}") from error


def _entries(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the position and content of each entry.

    The content is a value of a JSON list, a (key, value) pair of a JSON object, or a line.

    Raises:
        ValueError: The file is JSON, but neither a list nor an object.
    """
    if path.suffix == ".json":
        document = json.loads(read_text(path))
        entries = document.items() if isinstance(document, dict) else document
        if not isinstance(entries, Iterable) or isinstance(entries, str):
            raise ValueError(f"in none of the known formats ({FORMATS})")
        for number, entry in enumerate(entries, 1):
            yield f"entry {number}", entry
        return
    with io.TextIOWrapper(open_regular(path), encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield f"line {number}", line.strip()


def _queries(raw: Any, number: int, *, strict: bool) -> Iterator[AnnotatedQuery]:
    """Parse an entry; `number` is its default id."""
    if isinstance(raw, str) and raw.startswith("{"):
        raw = json.loads(raw)
    if isinstance(raw, str):
        yield _charades(raw, number, strict=strict)
    elif isinstance(raw, tuple):
        yield from _sentences(*raw, strict=strict)
    elif isinstance(raw, dict) and "vid_name" in raw:
        duration = _seconds(raw["duration"])
        span = _window(raw["ts"], duration)
        query_id = str(raw.get("desc_id", number))
        yield AnnotatedQuery(raw["vid_name"], raw["desc"], (span,), duration, query_id)
    elif isinstance(raw, dict) and "times" in raw:
        yield _didemo(raw)
    elif isinstance(raw, dict) and "relevant_windows" in raw:
        duration = _seconds(raw["duration"])
        windows = tuple(_window(window, duration) for window in raw["relevant_windows"])
        query_id = str(raw.get("qid", number))
        yield AnnotatedQuery(raw["vid"], raw["query"], windows, duration, query_id)
    else:
        raise ValueError(f"in none of the known formats ({FORMATS}): {short_repr(raw)}")


def _sentences(video: str, raw: dict[str, Any], *, strict: bool) -> Iterator[AnnotatedQuery]:
    """Parse a video with its sentences; times are seconds, or frames if `fps` is given."""
    rate = _seconds(raw.get("fps", 1.0))
    duration = _seconds(raw["num_frames"]) / rate if "fps" in raw else _seconds(raw["duration"])
    video_id = video.removesuffix(".avi")
    pairs = zip(raw["timestamps"], raw["sentences"], strict=True)
    for number, (times, sentence) in enumerate(pairs):
        start, end = _span(times, strict=strict)
        window = _clip((start / rate, end / rate), duration)
        yield AnnotatedQuery(
            video_id, sentence.strip(), (window,), duration, f"{video_id}_{number}"
        )


def _charades(line: str, number: int, *, strict: bool) -> AnnotatedQuery:
    times, separator, query = line.partition("##")
    if not separator:
        raise ValueError(f"in none of the known formats ({FORMATS}): no ## in {short_repr(line)}")
    words = times.split()
    if len(words) != 3:
        raise ValueError(
            f"in none of the known formats ({FORMATS}): expected video, start and end, "
            f"got {short_repr(times)}"
        )
    span = _span(words[1:], strict=strict)
    return AnnotatedQuery(words[0], query.strip(), (span,), None, str(number))


def _didemo(raw: dict[str, Any]) -> AnnotatedQuery:
    """Parse an entry of DiDeMo; its windows are those that most annotators chose.

    At least four people annotated each moment. In validation and test at least two of them agree,
    which is the usual criterion for a correct moment in a corpus (Escorcia et al., 1907.12763). The
    last segment of a video may be shorter than five seconds. Annotators saw 30 seconds at most.
    """
    windows = tuple(
        (first * DIDEMO_SECONDS, (last + 1) * DIDEMO_SECONDS)
        for first, last in sorted(multimode(_span(times, strict=True) for times in raw["times"]))
    )
    duration = _seconds(raw["num_segments"]) * DIDEMO_SECONDS
    windows = tuple(_clip(window, duration) for window in windows)
    return AnnotatedQuery(
        raw["video"], raw["description"], windows, duration, str(raw["annotation_id"])
    )


def _window(raw: Any, duration: float) -> Span:
    return _clip(_span(raw, strict=True), duration)


def _span(raw: Any, *, strict: bool) -> Span:
    """Parse a pair of seconds, start first."""
    start, end = (float(value) for value in raw)
    if not (math.isfinite(start) and math.isfinite(end) and min(start, end) >= 0):
        raise ValueError(f"{short_repr(raw)} is not a time span")
    if start > end and strict:
        raise ValueError(f"the window {short_repr(raw)} ends before it starts")
    return min(start, end), max(start, end)


def _clip(span: Span, duration: float) -> Span:
    """Clip a span to its video, which rounding may exceed."""
    start, end = span
    if end > duration + ROUNDED_SECONDS or start >= duration:
        raise ValueError(
            f"the window [{start:g}, {end:g}] is outside its video of {duration:g} seconds"
        )
    return start, min(end, duration)


def _seconds(raw: Any) -> float:
    value = float(raw) if isinstance(raw, int | float | str) else math.nan
    if not 0 < value < math.inf:
        raise ValueError(f"{short_repr(raw)} is not a duration")
    return value
