"""Annotated moments as their data sets publish them, and the user's features of the videos.

| data set | a line or an entry |
| --- | --- |
| QVHighlights; Charades-STA, TACoS, ActivityNet as lighthouse has them | `{"vid", "query", "duration", "relevant_windows"}` |
| TVR | `{"vid_name", "desc", "duration", "ts"}` |
| ActivityNet Captions | `{"v_…": {"duration", "timestamps", "sentences"}}` |
| TACoS | `{"s13-d21.avi": {"timestamps", "sentences", "fps", "num_frames"}}`, in frames |
| Charades-STA | `3MSZA 24.3 30.4##person turn a light on.` |
"""  # noqa: E501  # a table's row is one line

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.pooling import unit_rows
from retrieval.errors import DimensionMismatchError, SourceError, WeightsFormatError
from retrieval.localization.spans import Span
from retrieval.protocols import Encoder
from retrieval.training.moment_data import AskedMoment, MomentData, with_rivals
from retrieval.types import TimedRows

FORMATS = "QVHighlights, TVR, ActivityNet Captions, Charades-STA, TACoS"


@dataclass(frozen=True, slots=True)
class AnnotatedQuery:
    """A query, the spans of its video that answer it, and the video's length where it is known."""

    video_id: str
    query: str
    windows: tuple[Span, ...]
    duration_seconds: float | None


def read_annotations(path: Path) -> Iterator[AnnotatedQuery]:
    """Read a file in any of the formats above; queries without a window are passed over.

    Raises:
        SourceError: The file cannot be read, or an entry is in none of the formats; the message
            names file and entry.
    """
    read = 0
    try:
        for raw in _entries(path):
            for one in _queries(raw):
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


def read_features(
    folder: Path, video_id: str, *, duration_seconds: float | None, row_seconds: float | None
) -> TimedRows | None:
    """Read one video's rows from `ID.npy` or `ID.safetensors`, scaled to unit length.

    Args:
        folder: Holds a file for each video.
        video_id: Its name in the annotations.
        duration_seconds: Length of the video, shared evenly by its rows.
        row_seconds: How long a row lasts; overrides the duration.

    Returns:
        The rows, with float16 vectors; None where the folder has no file for the video.

    Raises:
        WeightsFormatError: The file is damaged, a pickle, or holds no (rows, dim) numbers.
        SourceError: Neither duration nor `row_seconds` is known.
    """
    path = next(
        (
            p
            for p in (folder / f"{video_id}.npy", folder / f"{video_id}.safetensors")
            if p.is_file()
        ),
        None,
    )
    if path is None:
        return None
    rows = _read_rows(path)
    if row_seconds is None and duration_seconds is None:
        raise SourceError(
            f"{video_id}: the annotations tell no duration; say how long a row lasts with "
            "--row-seconds"
        )
    step = row_seconds if row_seconds is not None else (duration_seconds or 0.0) / len(rows)
    edges: NDArray[np.float64] = np.arange(len(rows) + 1, dtype=np.float64) * step
    return TimedRows(edges[:-1], edges[1:], unit_rows(rows, str(path)).astype(np.float16))


def annotated_moments(
    annotations: Path,
    features: Path,
    encoder: Encoder,
    *,
    validation: Path | None = None,
    row_seconds: float | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[MomentData, MomentData]:
    """Join annotations and features; what is trained on and what is held out.

    Args:
        annotations: A file of annotations.
        features: Folder with the rows of each video; videos without a file are passed over.
        encoder: Made the features; embeds the queries.
        validation: Held-out annotations; None: every tenth video of `annotations`.
        row_seconds: See `read_features`.
        say: Told how much was found.

    Raises:
        SourceError: Fewer than two videos with features on either side.
        DimensionMismatchError: Features and encoder disagree on the dimension.
    """
    asked = list(read_annotations(annotations))
    if validation is not None:
        held = list(read_annotations(validation))
    else:
        chosen = set(sorted({one.video_id for one in asked})[::10])
        held = [one for one in asked if one.video_id in chosen]
        asked = [one for one in asked if one.video_id not in chosen]
    sides = []
    for what, side in (("trained on", asked), ("held out", held)):
        data = _joined(side, features, encoder, row_seconds)
        say(f"{what}: {len(data.asked)} queries of {len(data.videos)} videos with features")
        sides.append(data)
    return sides[0], sides[1]


def _joined(
    asked: list[AnnotatedQuery], features: Path, encoder: Encoder, row_seconds: float | None
) -> MomentData:
    numbers: dict[str, int | None] = {}
    videos: list[TimedRows] = []
    moments = []
    for one in asked:
        if one.video_id not in numbers:
            rows = read_features(
                features,
                one.video_id,
                duration_seconds=one.duration_seconds,
                row_seconds=row_seconds,
            )
            numbers[one.video_id] = None if rows is None else len(videos)
            videos += [] if rows is None else [rows]
        number = numbers[one.video_id]
        if number is not None:
            moments.append(AskedMoment(number, one.query, one.windows))
    if len(videos) < 2:
        raise SourceError(
            f"{features} holds features of {len(videos)} of {len(numbers)} annotated videos; "
            "expected ID.npy or ID.safetensors for each"
        )
    dims = {video.vectors.shape[1] for video in videos}
    if dims != {encoder.dim}:
        found = ", ".join(str(dim) for dim in sorted(dims))
        raise DimensionMismatchError(
            f"{features} holds {found}-d rows, {encoder.spec} embeds into {encoder.dim}; "
            "name the --model that made them"
        )
    sentences = encoder.encode_text([moment.text for moment in moments])
    return with_rivals(videos, moments, sentences)


# ---------------------------------------------------------------- formats


def _entries(path: Path) -> Iterator[Any]:
    """Objects of a JSON Lines file, pairs of a JSON object, or lines of text."""
    if path.suffix == ".json":
        yield from json.loads(path.read_text(encoding="utf-8")).items()
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line) if line.startswith("{") else line.strip()


def _queries(raw: Any) -> Iterator[AnnotatedQuery]:
    if isinstance(raw, str):
        yield _charades(raw)
    elif isinstance(raw, tuple):
        yield from _sentences(*raw)
    elif "vid_name" in raw:
        span = _span(raw["ts"])
        yield AnnotatedQuery(raw["vid_name"], raw["desc"], (span,), float(raw["duration"]))
    else:
        windows = tuple(_span(window) for window in raw["relevant_windows"])
        yield AnnotatedQuery(raw["vid"], raw["query"], windows, float(raw["duration"]))


def _sentences(video_id: str, raw: dict[str, Any]) -> Iterator[AnnotatedQuery]:
    """A video with its sentences: times are seconds, or frames where a rate is given."""
    rate = float(raw.get("fps", 1.0))
    duration = float(raw["num_frames"]) / rate if "fps" in raw else float(raw["duration"])
    for times, sentence in zip(raw["timestamps"], raw["sentences"], strict=True):
        start, end = _span(times)
        yield AnnotatedQuery(
            video_id.removesuffix(".avi"), sentence.strip(), ((start / rate, end / rate),), duration
        )


def _charades(line: str) -> AnnotatedQuery:
    times, marks, query = line.partition("##")
    if not marks:
        raise ValueError(f"no ## in {line[:60]!r}")
    video_id, start, end = times.split()
    return AnnotatedQuery(video_id, query.strip(), (_span((start, end)),), None)


def _span(raw: Any) -> Span:
    """Two numbers; some annotators gave the later one first."""
    start, end = sorted(float(value) for value in raw)
    return start, end


def _read_rows(path: Path) -> NDArray[np.float32]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        if path.suffix == ".npy":
            rows = np.load(path, allow_pickle=False)
        else:
            rows = next(iter(load_file(path).values()))
    except (OSError, ValueError, EOFError, SafetensorError, StopIteration) as error:
        raise WeightsFormatError(f"{path}: no readable features ({error})") from error
    if rows.ndim != 2 or not len(rows) or rows.dtype.kind != "f":
        raise WeightsFormatError(
            f"{path}: holds {rows.dtype} {rows.shape}, expected floats of (rows, dim)"
        )
    return np.asarray(rows, np.float32)
