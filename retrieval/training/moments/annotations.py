"""Training of a Hammer on annotation files and the user's own features of the videos."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.pooling import unit_rows
from retrieval.encoders.spaces import make_space
from retrieval.errors import DimensionMismatchError, SourceError, WeightsFormatError
from retrieval.evaluation.annotations import AnnotatedQuery, read_annotations
from retrieval.files.arrays import read_array
from retrieval.files.reading import check_regular
from retrieval.progress import Progress, no_progress
from retrieval.protocols import Encoder
from retrieval.training.moments.data import AnnotatedMoment, MomentData, find_rivals
from retrieval.training.moments.false_alarms import unrelated_queries
from retrieval.training.moments.train import (
    HammerDataset,
    HammerOptions,
    HammerReport,
    train_hammer,
)
from retrieval.types import Medium, Sampling, TimedRows

logger = logging.getLogger(__name__)

VOCABULARY: Final = 6_000
"""Annotators use more words than the demo world, whose vocabulary is the default."""


def train_annotated_hammer(
    options: HammerOptions,
    annotations: Path,
    features: Path,
    *,
    model: str,
    validation: Path | None = None,
    row_seconds: float | None = None,
    progress: Progress = no_progress,
) -> HammerReport:
    """Train a Hammer on annotated videos whose rows `model` embedded.

    Args:
        options: Options of the run; the vocabulary is replaced.
        annotations: A file of TVR, ActivityNet Captions, QVHighlights, Charades-STA or TACoS.
        features: Folder with ID.npy or ID.safetensors of each video, (rows, dim).
        model: The encoder of the features; it embeds the queries.
        validation: Annotations for the scores of the model card; None: a tenth of the videos.
        row_seconds: Duration of a row; None: the rows of a video share its duration evenly.
        progress: Receives the number of steps.

    Raises:
        SourceError: A file of annotations cannot be read, or there are too few features.
        DimensionMismatchError: The features have another dimension than the encoder.
    """
    encoder = load_encoder(model, device=options.device)
    rate = Sampling() if row_seconds is None else Sampling(frames_per_second=1 / row_seconds)
    training, held_out = read_annotated_moments(
        annotations, features, encoder, validation=validation, row_seconds=row_seconds
    )
    dataset = HammerDataset(
        training,
        held_out,
        make_space(encoder, sampling=rate, windows=None),
        # The rows of an encoder without video are segments of sound.
        medium=Medium.VIDEO if Medium.VIDEO in encoder.media else Medium.AUDIO,
        unrelated=unrelated_queries(encoder),
        source=f"{annotations.name} with features of {encoder.spec}",
    )
    return train_hammer(dataset, replace(options, vocabulary=VOCABULARY), progress)


def read_annotated_moments(
    annotations: Path,
    features: Path,
    encoder: Encoder,
    *,
    validation: Path | None = None,
    row_seconds: float | None = None,
) -> tuple[MomentData, MomentData]:
    """Read annotations and features; return training data and held-out data.

    Args:
        annotations: A file of annotations.
        features: Folder with the rows of each video; videos without a file are skipped.
        encoder: The encoder of the features; it embeds the queries.
        validation: Held-out annotations; None: every tenth video of `annotations`.
        row_seconds: See `read_features`.

    Raises:
        SourceError: Fewer than two videos with features in either part.
        DimensionMismatchError: The features have another dimension than the encoder.
    """
    training = list(read_annotations(annotations, strict=True))
    if validation is not None:
        held_out = list(read_annotations(validation, strict=True))
    else:
        chosen = set(sorted({query.video_id for query in training})[::10])
        held_out = [query for query in training if query.video_id in chosen]
        training = [query for query in training if query.video_id not in chosen]
    parts = []
    for name, queries in (("training", training), ("held out", held_out)):
        data = _with_features(queries, features, encoder, row_seconds)
        logger.info(
            f"{name}: {len(data.queries)} queries of {len(data.videos)} videos with features"
        )
        parts.append(data)
    return parts[0], parts[1]


def read_features(
    folder: Path, video_id: str, *, duration_seconds: float | None, row_seconds: float | None
) -> TimedRows | None:
    """Read one video's rows from `ID.npy` or `ID.safetensors`, scaled to unit length.

    Args:
        folder: Contains one file per video.
        video_id: Name of the video in the annotations.
        duration_seconds: Duration of the video; its rows share it evenly.
        row_seconds: Duration of a row; overrides the duration of the video.

    Returns:
        The rows, with float16 vectors; None if the folder has no file of the video.

    Raises:
        WeightsFormatError: The file is damaged, a pickle, or not an array of (rows, dim) floats.
        SourceError: Neither duration is known.
    """
    paths = (folder / f"{video_id}.npy", folder / f"{video_id}.safetensors")
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return None
    rows = _read_rows(path)
    if row_seconds is None and duration_seconds is None:
        raise SourceError(
            f"{video_id}: the annotations have no duration; give the seconds per row of features"
        )
    step = row_seconds if row_seconds is not None else (duration_seconds or 0.0) / len(rows)
    edges: NDArray[np.float64] = np.arange(len(rows) + 1, dtype=np.float64) * step
    return TimedRows(edges[:-1], edges[1:], unit_rows(rows, str(path)).astype(np.float16))


def _with_features(
    annotated: list[AnnotatedQuery], features: Path, encoder: Encoder, row_seconds: float | None
) -> MomentData:
    numbers: dict[str, int | None] = {}
    videos: list[TimedRows] = []
    queries = []
    for query in annotated:
        if query.video_id not in numbers:
            rows = read_features(
                features,
                query.video_id,
                duration_seconds=query.duration_seconds,
                row_seconds=row_seconds,
            )
            numbers[query.video_id] = None if rows is None else len(videos)
            videos += [] if rows is None else [rows]
        number = numbers[query.video_id]
        if number is not None:
            queries.append(AnnotatedMoment(number, query.query, query.windows))
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
            "use the model that embedded the features"
        )
    return find_rivals(videos, queries, encoder.encode_text([query.text for query in queries]))


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
