"""TVR: moments in a corpus and in one video, and videos, with the figures of its evaluator.

Lei et al., 2020 (arXiv 2001.09099); `standalone_eval` of the project TVRetrieval. The evaluator
also reads DiDeMo, whose queries have four or more true windows, of which two must agree.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.score.lines import (
    Record,
    as_record,
    by_key,
    check_same_queries,
    read_json,
    read_jsonl,
)
from retrieval.errors import SourceError
from retrieval.errors import short_repr as shown
from retrieval.evaluation.corpus import CorpusRanks, corpus_ranks

logger = logging.getLogger(__name__)

TASKS: Final = ("VCMR", "SVMR", "VR")
TYPES: Final = ("v", "t", "vt")
"""The source of the answer: video, text (subtitles), or both."""

THRESHOLDS: Final = (0.5, 0.7)
DEPTHS: Final = (1, 5, 10, 100)

MAX_PREDICTIONS: Final = 100
"""Number of predictions of a query that count."""

AGREEMENT_WINDOWS: Final = 4
"""With at least this many true windows, two of them must overlap a prediction, else one."""

Ranks = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrueMoment:
    """The true moment of a query.

    Attributes:
        video: Number of the video in the `video2idx` of the predictions.
        windows: (windows, 2) float32.
        type: One of `TYPES`; None if the truth has no types.
    """

    video: float
    windows: NDArray[np.float32]
    type: str | None


def score(predictions: Path, truth: Path) -> dict[str, Any]:
    """Compute the document of the evaluator: a group for each task, then tasks by query type.

    Tasks that the predictions lack are left out, and so are the groups by type if the truth has
    no types.

    Args:
        predictions: JSON of `video2idx` and any of `VCMR`, `SVMR` and `VR`, each a list of
            `{desc_id, predictions}`, best first.
        truth: JSONL of `{desc_id, vid_name, ts, type}`.

    Raises:
        SourceError: An entry is malformed, or the files have different queries.
    """
    submitted = read_json(predictions)
    queries = by_key(read_jsonl(truth), "desc_id")
    _log_repeated(queries, str(truth))
    # If a query has several lines, the last one counts.
    typed = any("type" in lines[-1] for lines in queries.values())
    numbers = as_record(f"{submitted.where}, video2idx", submitted["video2idx"])
    true = {key: _true_moment(lines[-1], numbers, typed=typed) for key, lines in queries.items()}
    overall: dict[str, Any] = {}
    by_type: dict[str, Any] = {}
    for task in TASKS:
        if task not in submitted:
            continue
        entries = [
            as_record(f"{submitted.where}, {task} entry {number}", value)
            for number, value in enumerate(submitted.items(task), 1)
        ]
        ranks = _ranks(task, by_key(entries, "desc_id"), true, (predictions, truth))
        overall[task] = _recalls(ranks, "")
        if typed:
            by_type[f"{task}_by_type"] = _by_type(ranks, [moment.type for moment in true.values()])
    return overall | by_type


def _ranks(
    task: str,
    entries: Mapping[Hashable, Sequence[Record]],
    true: Mapping[Hashable, TrueMoment],
    files: tuple[Path, Path],
) -> dict[str, Ranks]:
    """Return (queries,) ranks of the first correct prediction by prefix of the metric names."""
    check_same_queries(entries, true, files)
    _log_repeated(entries, task)
    ranks: list[CorpusRanks] = []
    fewer = 0
    for key, moment in true.items():
        predicted = _predicted(entries[key][-1])
        fewer += len(predicted) < MAX_PREDICTIONS
        ranks.append(
            corpus_ranks(
                predicted[:, 0] == np.float32(moment.video),
                predicted[:, 1:],
                moment.windows,
                np.array(THRESHOLDS, np.float32),
                annotators=2 if len(moment.windows) >= AGREEMENT_WINDOWS else 1,
            )
        )
    if fewer:
        logger.warning(
            "%s: %d of %d queries with fewer than %d predictions: scored as they are",
            task,
            fewer,
            len(true),
            MAX_PREDICTIONS,
        )
    if task == "VR":
        return {"r": np.array([each.video for each in ranks])}
    moments = [each.moment if task == "VCMR" else each.moment_in_video for each in ranks]
    return {
        f"{threshold}-r": np.array([of_query[column] for of_query in moments])
        for column, threshold in enumerate(THRESHOLDS)
    }


def _recalls(ranks: Mapping[str, Ranks], prefix: str) -> dict[str, float]:
    """Compute recall at each depth in percent; NaN without queries, as in the evaluator."""
    with np.errstate(invalid="ignore"):
        return {
            f"{prefix}{name}{k}": _percent(np.float64((each <= k).sum()) / np.int64(len(each)))
            for name, each in ranks.items()
            for k in DEPTHS
        }


def _by_type(ranks: Mapping[str, Ranks], types: Sequence[str | None]) -> dict[str, Any]:
    array = np.array(types)
    result: dict[str, Any] = {}
    for name in TYPES:
        if not (array == name).any():
            logger.warning("no query has type %r: its figures are NaN, as in the evaluator", name)
        selected = {metric: each[array == name] for metric, each in ranks.items()}
        result |= _recalls(selected, f"{name}-")
    shares = [f"{name} {_percent(np.mean(array == name))}" for name in TYPES]
    return result | {"desc_type_ratio": " ".join(shares)}


def _percent(share: np.floating[Any]) -> float:
    """Convert to percent with two decimals by NumPy's rounding, which differs from `format`.

    NumPy scales, rounds halves to even, and scales back: 12.345 becomes 12.34.
    """
    return float(np.round(share * 100, 2))


def _true_moment(line: Record, numbers: Record, *, typed: bool) -> TrueMoment:
    query_type = line["type"] if typed else None
    if typed and query_type not in TYPES:
        raise SourceError(f"{line.where}: 'type' is {shown(query_type)}, expected v, t or vt")
    spans = line.items("ts")
    several = len(spans) >= AGREEMENT_WINDOWS
    windows = line.windows("ts", spans if several else [spans], 2)
    return TrueMoment(numbers.number(str(line["vid_name"])), _single(windows), query_type)


def _predicted(entry: Record) -> NDArray[np.float32]:
    """Return video, start and end of the first predictions, (predictions, 3) float32."""
    rows = entry.items("predictions")[:MAX_PREDICTIONS]
    if not rows:
        raise SourceError(
            f"{entry.where}: 'predictions' is empty (the official evaluator stops here too)"
        )
    return _single(entry.windows("predictions", rows, 3))


def _single(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return numbers.astype(np.float32)


def _log_repeated(entries: Mapping[Hashable, Sequence[Record]], where: str) -> None:
    repeated = sum(len(records) > 1 for records in entries.values())
    if repeated:
        logger.warning(
            "%s: %d of %d queries occur more than once: the last entry counts",
            where,
            repeated,
            len(entries),
        )
