"""Writes the answers of a run in the formats of the official evaluators.

A ranking becomes a TREC run with its qrels. Moments of a known video become the JSONL of
QVHighlights, moments of a corpus the JSON of TVR, each with the truth in the same format.
`benchmarks.score` and the official evaluators read these files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from benchmarks.results.outcome import Answers, MomentAnswer, RankedAnswer
from retrieval.files.writing import storage_errors, write_text

TAG = "retrieval"
"""Name of the system in the last column of a TREC run."""

DUMMY_SPAN = [0.0, 0.0]
"""Placeholder: the VR rankings of TVR hold times that evaluators ignore."""


def write_runs(folder: Path, answers: Sequence[Answers]) -> list[Path]:
    """Write FOLDER/SUITE/TASK.* for every task with answers and return the paths.

    Raises:
        StorageError: A file or folder cannot be written.
    """
    written: list[Path] = []
    stems: set[Path] = set()
    for task in answers:
        if not task.answers:
            continue
        stem = folder / slug(task.suite) / slug(task.task)
        while stem in stems:  # two names can differ in punctuation only
            stem = stem.with_name(f"{stem.name}-2")
        stems.add(stem)
        with storage_errors(stem.parent):
            stem.parent.mkdir(parents=True, exist_ok=True)
        for suffix, text in _texts(task).items():
            path = stem.with_name(stem.name + suffix)
            write_text(path, text)
            written.append(path)
    return written


def slug(name: str) -> str:
    """Convert a task name to a file name: `text → image, index` → `text-to-image-index`."""
    return re.sub(r"\W+", "-", name.lower().replace("→", " to ")).strip("-")


def _texts(task: Answers) -> dict[str, str]:
    ranked = [answer for answer in task.answers if isinstance(answer, RankedAnswer)]
    if ranked:
        return {".run": trec_run(ranked), ".qrels": trec_qrels(ranked)}
    moments = [answer for answer in task.answers if isinstance(answer, MomentAnswer)]
    if _searches_corpus(moments):
        predictions = json.dumps(corpus_predictions(moments)) + "\n"
        return {".json": predictions, ".truth.jsonl": _lines(map(_corpus_truth, moments))}
    return {
        ".jsonl": _lines(map(_window_prediction, moments)),
        ".truth.jsonl": _lines(map(_window_truth, moments)),
    }


def trec_run(answers: Iterable[RankedAnswer]) -> str:
    """Format lines of `query Q0 item rank score tag`, with ids escaped by `trec_id`."""
    return "".join(
        f"{trec_id(answer.query_id)} Q0 {trec_id(item)} {rank} {float(score)!r} {TAG}\n"
        for answer in answers
        for rank, (item, score) in enumerate(zip(answer.items, answer.scores, strict=True), 1)
    )


def trec_qrels(answers: Iterable[RankedAnswer]) -> str:
    """Format lines of `query 0 item 1` for every relevant item."""
    return "".join(
        f"{trec_id(answer.query_id)} 0 {trec_id(item)} 1\n"
        for answer in answers
        for item in answer.relevant
    )


def trec_id(name: str) -> str:
    """Percent-encode whitespace, `%` and lone surrogates, so that a name is one column.

    `urllib.parse.unquote` is the inverse.
    """
    return re.sub(
        r"[\s%\ud800-\udfff]", lambda match: quote(match[0], errors="surrogatepass"), name
    )


def _searches_corpus(answers: Iterable[MomentAnswer]) -> bool:
    """Tell whether some answer holds a moment of a video other than the true one."""
    return any(moment[0] != answer.video for answer in answers for moment in answer.moments)


def corpus_predictions(answers: Sequence[MomentAnswer]) -> dict[str, object]:
    """Build a TVR submission: corpus moments (VCMR) and videos by their best moment (VR)."""
    names = {answer.video for answer in answers}
    names |= {moment[0] for answer in answers for moment in answer.moments}
    numbers = {name: number for number, name in enumerate(sorted(names))}

    def rows(predictions: Callable[[MomentAnswer], list[list[float]]]) -> list[dict[str, object]]:
        return [
            {
                "desc_id": _official_id(answer.query_id),
                "desc": answer.query,
                "predictions": predictions(answer),
            }
            for answer in answers
        ]

    def moments(answer: MomentAnswer) -> list[list[float]]:
        return [[numbers[video], *map(float, rest)] for video, *rest in answer.moments]

    def videos(answer: MomentAnswer) -> list[list[float]]:
        best: dict[str, float] = {}
        for video, _, _, score in answer.moments:
            best.setdefault(video, float(score))
        return [[numbers[video], *DUMMY_SPAN, score] for video, score in best.items()]

    return {"video2idx": numbers, "VCMR": rows(moments), "VR": rows(videos)}


def _corpus_truth(answer: MomentAnswer) -> dict[str, object]:
    """Build a truth row of TVR, which holds one window per query: the first."""
    return {
        "desc_id": _official_id(answer.query_id),
        "desc": answer.query,
        "vid_name": answer.video,
        "duration": answer.duration_seconds,
        "ts": [float(seconds) for seconds in answer.windows[0]],
    }


def _window_prediction(answer: MomentAnswer) -> dict[str, object]:
    windows = [[float(number) for number in moment[1:]] for moment in answer.moments]
    return _window_row(answer) | {"pred_relevant_windows": windows}


def _window_truth(answer: MomentAnswer) -> dict[str, object]:
    windows = [[float(seconds) for seconds in window] for window in answer.windows]
    return _window_row(answer) | {"duration": answer.duration_seconds, "relevant_windows": windows}


def _window_row(answer: MomentAnswer) -> dict[str, object]:
    return {
        "qid": _official_id(answer.query_id),
        "query": answer.query,
        "vid": answer.video,
    }


def _official_id(query_id: str) -> int | str:
    """Convert decimal ids to integers, as in the official files; keep other ids as text."""
    return int(query_id) if re.fullmatch(r"0|[1-9][0-9]{0,17}", query_id) else query_id


def _lines(rows: Iterable[dict[str, object]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)
