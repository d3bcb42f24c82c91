"""Annotated moments, and the user's features of the videos, joined to learn from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.pooling import unit_rows
from retrieval.errors import DimensionMismatchError, SourceError, WeightsFormatError
from retrieval.evaluation.annotations import AnnotatedQuery, read_annotations
from retrieval.files.arrays import read_array
from retrieval.files.reading import check_regular
from retrieval.protocols import Encoder
from retrieval.training.moments.data import AskedMoment, MomentData, with_rivals
from retrieval.types import TimedRows


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
    asked = list(read_annotations(annotations, strict=True))
    if validation is not None:
        held = list(read_annotations(validation, strict=True))
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


def _read_rows(path: Path) -> NDArray[np.float32]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        check_regular(path)
        rows = read_array(path) if path.suffix == ".npy" else next(iter(load_file(path).values()))
    except (OSError, ValueError, EOFError, SafetensorError, StopIteration) as error:
        raise WeightsFormatError(f"{path}: no readable features ({error})") from error
    if rows.ndim != 2 or not len(rows) or rows.dtype.kind != "f":
        raise WeightsFormatError(
            f"{path}: holds {rows.dtype} {rows.shape}, expected floats of (rows, dim)"
        )
    return np.asarray(rows, np.float32)
