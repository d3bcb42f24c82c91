"""Annotated moments as their data sets publish them.

| data set | a line or an entry | its id |
| --- | --- | --- |
| QVHighlights; Charades-STA, TACoS, ActivityNet as lighthouse has them | `{"qid", "vid", "query", "duration", "relevant_windows"}` | `qid` |
| TVR | `{"desc_id", "vid_name", "desc", "duration", "ts"}` | `desc_id` |
| ActivityNet Captions | `{"v_…": {"duration", "timestamps", "sentences"}}` | video and number |
| TACoS | `{"s13-d21.avi": {"timestamps", "sentences", "fps", "num_frames"}}`, in frames | video and number |
| Charades-STA | `3MSZA 24.3 30.4##person turn a light on.` | number of the line |
| DiDeMo | `[{"annotation_id", "video", "description", "times", "num_segments"}]`, in 5-s segments | `annotation_id` |
"""  # noqa: E501  # a table's row is one line

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import multimode
from typing import Any, Final

from retrieval.errors import SourceError
from retrieval.localization.spans import Span
from retrieval.regular_files import open_regular, read_text

FORMATS: Final = "QVHighlights, TVR, ActivityNet Captions, Charades-STA, TACoS, DiDeMo"
DIDEMO_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class AnnotatedQuery:
    """A query, the spans of its video that answer it, and the video's length where it is known.

    Its id is the data set's own; the number of the entry, from 0, where it gives none.
    """

    video_id: str
    query: str
    windows: tuple[Span, ...]
    duration_seconds: float | None
    query_id: str


def read_annotations(path: Path) -> Iterator[AnnotatedQuery]:
    """Read a file in any of the formats above; queries without a window are passed over.

    Raises:
        SourceError: The file cannot be read, or an entry is in none of the formats; the message
            names file and entry.
    """
    read = 0
    try:
        for raw in _entries(path):
            for one in _queries(raw, read):
                if one.windows:
                    yield one
            read += 1
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(
            f"{path}, entry {read + 1}: in none of the known formats ({FORMATS}): "
            f"{type(error).__name__} {error}"
        ) from error


def _entries(path: Path) -> Iterator[Any]:
    """Objects of a JSON Lines file or list, pairs of a JSON object, or lines of text."""
    if path.suffix == ".json":
        document = json.loads(read_text(path))
        yield from document.items() if isinstance(document, dict) else document
        return
    with io.TextIOWrapper(open_regular(path), encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line) if line.startswith("{") else line.strip()


def _queries(raw: Any, number: int) -> Iterator[AnnotatedQuery]:
    if isinstance(raw, str):
        yield _charades(raw, number)
    elif isinstance(raw, tuple):
        yield from _sentences(*raw)
    elif "vid_name" in raw:
        span, duration = _span(raw["ts"]), _seconds(raw["duration"])
        query_id = str(raw.get("desc_id", number))
        yield AnnotatedQuery(raw["vid_name"], raw["desc"], (span,), duration, query_id)
    elif "times" in raw:
        yield _didemo(raw)
    else:
        windows = tuple(_span(window) for window in raw["relevant_windows"])
        duration = _seconds(raw["duration"])
        query_id = str(raw.get("qid", number))
        yield AnnotatedQuery(raw["vid"], raw["query"], windows, duration, query_id)


def _sentences(video: str, raw: dict[str, Any]) -> Iterator[AnnotatedQuery]:
    """A video with its sentences: times are seconds, or frames where a rate is given."""
    rate = _seconds(raw.get("fps", 1.0))
    duration = _seconds(raw["num_frames"]) / rate if "fps" in raw else _seconds(raw["duration"])
    video_id = video.removesuffix(".avi")
    pairs = zip(raw["timestamps"], raw["sentences"], strict=True)
    for number, (times, sentence) in enumerate(pairs):
        start, end = _span(times)
        window = (start / rate, end / rate)
        yield AnnotatedQuery(
            video_id, sentence.strip(), (window,), duration, f"{video_id}_{number}"
        )


def _charades(line: str, number: int) -> AnnotatedQuery:
    times, marks, query = line.partition("##")
    if not marks:
        raise ValueError(f"no ## in {line[:60]!r}")
    video_id, start, end = times.split()
    return AnnotatedQuery(video_id, query.strip(), (_span((start, end)),), None, str(number))


def _didemo(raw: dict[str, Any]) -> AnnotatedQuery:
    """The window that most annotators chose; all of them where several were chosen as often.

    At least four people have marked each moment. In validation and test two or more of them always
    agree, and a moment found in a corpus is commonly counted as found where two of them say so
    (Escorcia et al., 1907.12763). The last segment of a video may be shorter than five seconds,
    and what comes after half a minute was not shown to anybody.
    """
    windows = tuple(
        (first * DIDEMO_SECONDS, (last + 1) * DIDEMO_SECONDS)
        for first, last in sorted(multimode(_span(times) for times in raw["times"]))
    )
    duration = _seconds(raw["num_segments"]) * DIDEMO_SECONDS
    return AnnotatedQuery(
        raw["video"], raw["description"], windows, duration, str(raw["annotation_id"])
    )


def _span(raw: Any) -> Span:
    """Two numbers; some annotators gave the later one first."""
    start, end = sorted(float(value) for value in raw)
    if not (math.isfinite(start) and math.isfinite(end)):
        raise ValueError(f"{raw} is no span of time")
    return start, end


def _seconds(raw: Any) -> float:
    value = float(raw)
    if not 0 < value < math.inf:
        raise ValueError(f"{raw} is no length of time")
    return value
