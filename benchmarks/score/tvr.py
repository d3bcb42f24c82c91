"""TVR: moments in a corpus, in one video, and videos, as its own evaluator scores them.

Lei et al., 2020 (arXiv 2001.09099); `standalone_eval` of the project TVRetrieval. The evaluator
also serves DiDeMo, whose queries have four or more true windows, of which two must agree.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.score.lines import (
    Record,
    as_record,
    by_key,
    read_json,
    read_jsonl,
    same_queries,
)
from retrieval.errors import SourceError
from retrieval.errors import short_repr as shown
from retrieval.evaluation.corpus import CorpusRanks, corpus_ranks

TASKS: Final = ("VCMR", "SVMR", "VR")
TYPES: Final = ("v", "t", "vt")
"""What a query asks about: video, text (subtitles), or both."""

THRESHOLDS: Final = (0.5, 0.7)
DEPTHS: Final = (1, 5, 10, 100)

MOST_PREDICTIONS: Final = 100
"""How many predictions of a query are read."""

MANY_ANNOTATORS: Final = 4
"""With so many true windows two must agree with a prediction, else the one there is."""

Ranks = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrueMoment:
    """What a query asks for.

    Attributes:
        video: Its number in the predictions' `video2idx`.
        windows: (windows, 2) float32.
        kind: One of `TYPES`; None where the truth tells no types.
    """

    video: float
    windows: NDArray[np.float32]
    kind: str | None


def score(predictions: Path, truth: Path, note: Callable[[str], None]) -> dict[str, Any]:
    """What the evaluator writes: a group for each task, then each task by type of query.

    Tasks that are not in the predictions are left out, and so are the groups by type where no
    true moment tells one.

    Args:
        predictions: JSON of `video2idx` and any of `VCMR`, `SVMR` and `VR`, each a list of
            `{desc_id, predictions}`, best first.
        truth: JSONL of `{desc_id, vid_name, ts, type}`.
        note: Takes lines about odd input.

    Raises:
        SourceError: An entry cannot be used, or the files have different queries.
    """
    submitted = read_json(predictions)
    asked = by_key(read_jsonl(truth), "desc_id")
    _note_repeated(asked, str(truth), note)
    # Of several lines of a query the last one counts.
    typed = any("type" in lines[-1] for lines in asked.values())
    numbers = as_record(f"{submitted.where}, video2idx", submitted["video2idx"])
    true = {key: _true_moment(lines[-1], numbers, typed=typed) for key, lines in asked.items()}
    overall: dict[str, Any] = {}
    by_type: dict[str, Any] = {}
    for task in TASKS:
        if task not in submitted:
            continue
        entries = [
            as_record(f"{submitted.where}, {task} entry {number}", value)
            for number, value in enumerate(submitted.items(task), 1)
        ]
        ranks = _ranks(task, by_key(entries, "desc_id"), true, (predictions, truth), note)
        overall[task] = _recalls(ranks, "")
        if typed:
            by_type[f"{task}_by_type"] = _by_type(ranks, [one.kind for one in true.values()], note)
    return overall | by_type


def _ranks(
    task: str,
    entries: Mapping[Hashable, Sequence[Record]],
    true: Mapping[Hashable, TrueMoment],
    files: tuple[Path, Path],
    note: Callable[[str], None],
) -> dict[str, Ranks]:
    """(queries,) ranks of the first right prediction, for each prefix of the printed names."""
    same_queries(entries, true, files)
    _note_repeated(entries, task, note)
    found: list[CorpusRanks] = []
    fewer = 0
    for key, moment in true.items():
        predicted = _predicted(entries[key][-1])
        fewer += len(predicted) < MOST_PREDICTIONS
        found.append(
            corpus_ranks(
                predicted[:, 0] == np.float32(moment.video),
                predicted[:, 1:],
                moment.windows,
                np.array(THRESHOLDS, np.float32),
                annotators=2 if len(moment.windows) >= MANY_ANNOTATORS else 1,
            )
        )
    if fewer:
        note(f"{task}: {fewer} of {len(true)} queries with fewer than {MOST_PREDICTIONS} "
             "predictions: scored as they are")  # fmt: skip
    if task == "VR":
        return {"r": np.array([one.video for one in found])}
    which = [one.moment if task == "VCMR" else one.moment_in_video for one in found]
    return {
        f"{threshold}-r": np.array([ranks[column] for ranks in which])
        for column, threshold in enumerate(THRESHOLDS)
    }


def _recalls(ranks: Mapping[str, Ranks], before: str) -> dict[str, float]:
    """Recall at every depth, in percent; NaN without queries, as the evaluator writes it."""
    with np.errstate(invalid="ignore"):
        return {
            f"{before}{name}{k}": _percent(np.float64((one <= k).sum()) / np.int64(len(one)))
            for name, one in ranks.items()
            for k in DEPTHS
        }


def _by_type(
    ranks: Mapping[str, Ranks], kinds: Sequence[str | None], note: Callable[[str], None]
) -> dict[str, Any]:
    named = np.array(kinds)
    result: dict[str, Any] = {}
    for kind in TYPES:
        if not (named == kind).any():
            note(f"no query is of type {kind!r}: its figures are NaN, as the evaluator's")
        result |= _recalls({name: one[named == kind] for name, one in ranks.items()}, f"{kind}-")
    shares = [f"{kind} {_percent(np.mean(named == kind))}" for kind in TYPES]
    return result | {"desc_type_ratio": " ".join(shares)}


def _percent(share: np.floating[Any]) -> float:
    """Per cent with two decimals by NumPy's rounding, which is not that of `format`.

    It scales, rounds halves to the even number and scales back: 12.345 becomes 12.34.
    """
    return float(np.round(share * 100, 2))


# ---------------------------------------------------------------- files


def _true_moment(line: Record, numbers: Record, *, typed: bool) -> TrueMoment:
    kind = line["type"] if typed else None
    if typed and kind not in TYPES:
        raise SourceError(f"{line.where}: 'type' is {shown(kind)}, expected v, t or vt")
    spans = line.items("ts")
    several = len(spans) >= MANY_ANNOTATORS
    windows = line.windows("ts", spans if several else [spans], 2)
    return TrueMoment(numbers.number(str(line["vid_name"])), _single(windows), kind)


def _predicted(entry: Record) -> NDArray[np.float32]:
    """(predictions, 3) video, start and end of the first predictions, in float32."""
    rows = entry.items("predictions")[:MOST_PREDICTIONS]
    if not rows:
        raise SourceError(
            f"{entry.where}: 'predictions' is empty; the official evaluator stops here too"
        )
    return _single(entry.windows("predictions", rows, 3))


def _single(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return numbers.astype(np.float32)


def _note_repeated(
    entries: Mapping[Hashable, Sequence[Record]], where: str, note: Callable[[str], None]
) -> None:
    repeated = sum(len(found) > 1 for found in entries.values())
    if repeated:
        note(f"{where}: {repeated} of {len(entries)} queries stand more than once: "
             "the last entry counts")  # fmt: skip
