"""The evaluators of QVHighlights and TVR once more: loops over their definitions, no shared code.

Slow and plain on purpose. Sums and means are NumPy's, whose order shows in the last bit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

THRESHOLDS = [float(f"{iou:.2f}") for iou in np.linspace(0.5, 0.95, 10)]
RANGES = {"short": (0, 10), "middle": (10, 30), "long": (30, 150), "full": None}


def union_iou(a: list[float], b: list[float]) -> float:
    shared = max(min(a[1], b[1]) - max(a[0], b[0]), 0)
    union = (a[1] - a[0]) + (b[1] - b[0]) - shared
    return shared / union if union else math.nan


def hull_iou(a: Any, b: Any) -> Any:
    hull = max(a[1], b[1]) - min(a[0], b[0])
    return max(min(a[1], b[1]) - max(a[0], b[0]), 0 * hull) / hull if hull else 0 * hull


# ---------------------------------------------------------------- QVHighlights


def qvhighlights(predictions: list[dict[str, Any]], truth: list[dict[str, Any]]) -> dict[str, Any]:
    assert {line["qid"] for line in predictions} == {line["qid"] for line in truth}
    groups: dict[str, Any] = {}
    if "pred_relevant_windows" in predictions[0]:
        for name, bounds in RANGES.items():
            groups[name] = _moments(predictions, truth, bounds)
    if "pred_saliency_scores" in predictions[0]:
        for name, lowest in (("Fair", 2), ("Good", 3), ("VeryGood", 4)):
            groups[f"HL-min-{name}"] = _highlights(predictions, truth, lowest)
    brief = {}
    if "full" in groups:
        brief = {
            "MR-full-R1@0.5": groups["full"]["MR-R1"]["0.5"],
            "MR-full-R1@0.7": groups["full"]["MR-R1"]["0.7"],
            "MR-full-mAP": groups["full"]["MR-mAP"]["average"],
            "MR-full-mAP@0.5": groups["full"]["MR-mAP"]["0.5"],
            "MR-full-mAP@0.75": groups["full"]["MR-mAP"]["0.75"],
            "MR-long-mAP": groups["long"]["MR-mAP"]["average"],
            "MR-middle-mAP": groups["middle"]["MR-mAP"]["average"],
            "MR-short-mAP": groups["short"]["MR-mAP"]["average"],
        }
    for name, group in groups.items():
        if name.startswith("HL"):
            brief[f"{name}-mAP"] = group["HL-mAP"]
            brief[f"{name}-Hit1"] = group["HL-Hit1"]
    return {"brief": brief, **{name: groups[name] for name in sorted(groups)}}


def _moments(
    predictions: list[dict[str, Any]], truth: list[dict[str, Any]], bounds: tuple[int, int] | None
) -> dict[str, Any]:
    asked: dict[Any, list[list[list[float]]]] = {}
    for line in truth:
        windows = [
            w
            for w in line["relevant_windows"]
            if bounds is None or bounds[0] < w[1] - w[0] <= bounds[1]
        ]
        if windows:
            asked.setdefault(line["qid"], []).append(windows)
    precisions, first = [], []
    for qid in dict.fromkeys(line["qid"] for line in predictions):
        if qid not in asked:
            continue
        lines = [line["pred_relevant_windows"] for line in predictions if line["qid"] == qid]
        predicted = [window for line in lines for window in line[:10]]
        true = [window for line in asked[qid] for window in line]
        precisions.append([_average_precision(predicted, true, iou) for iou in THRESHOLDS])
        nearest = int(np.argmax([union_iou(lines[-1][0], w) for w in asked[qid][-1]]))
        first.append(hull_iou(lines[-1][0], asked[qid][-1][nearest]))
    means = np.array(precisions).mean(axis=0)
    values = dict(zip(map(str, THRESHOLDS), means, strict=True)) | {"average": np.mean(means)}
    return {
        "MR-mAP": {name: float(f"{100 * value:.2f}") for name, value in values.items()},
        "MR-R1": {
            str(iou): float(f"{np.mean([own >= iou for own in first]) * 100:.2f}")
            for iou in THRESHOLDS
        },
    }


def _average_precision(
    predicted: list[list[float]], true: list[list[float]], threshold: float
) -> float:
    free = set(range(len(true)))
    right = []
    for window in sorted(predicted, key=lambda w: -w[2]):
        ious = [union_iou(window, other) for other in true]
        taken = None
        for other in np.argsort(np.array(ious))[::-1]:
            if ious[other] < threshold:
                break
            if other in free:
                taken = other
                break
        free -= {taken}
        right.append(taken is not None)
    precision = [sum(right[:depth]) / depth for depth in range(1, len(right) + 1)]
    terms, recall = [], 0.0
    for depth in range(1, len(right) + 1):
        now = sum(right[:depth]) / len(true)
        if now != recall:
            terms.append((now - recall) * max(precision[depth - 1 :]))
            recall = now
    if recall != 1:
        terms.append(0.0)
    return float(np.sum(terms))


def _highlights(
    predictions: list[dict[str, Any]], truth: list[dict[str, Any]], lowest: int
) -> dict[str, float]:
    scores = {line["qid"]: line["pred_saliency_scores"] for line in predictions}
    lines = {line["qid"]: line for line in truth}
    precisions, hits = [], []
    for qid, own in scores.items():
        clips = int(lines[qid]["duration"] / 2)
        marks = dict(
            zip(lines[qid]["relevant_clip_ids"], lines[qid]["saliency_scores"], strict=True)
        )
        labels = [[mark >= lowest for mark in marks.get(clip, (0, 0, 0))] for clip in range(clips)]
        fitted = (own + [0.0] * clips)[:clips]
        precisions.append(
            [_clip_precision([row[who] for row in labels], fitted) for who in range(3)]
        )
        best = own.index(max(own))
        hits.append(best < clips and any(labels[best]))
    return {
        "HL-mAP": float(f"{100 * np.mean(precisions):.2f}"),
        "HL-Hit1": float(f"{100 * np.mean(hits):.2f}"),
    }


def _clip_precision(labels: list[bool], scores: list[float]) -> float:
    if len(set(labels)) == 1:
        return float(labels[0])
    best, recall, values = 0.0, None, []
    points = []
    for level in sorted(set(scores)):
        chosen = [label for label, score in zip(labels, scores, strict=True) if score >= level]
        best = max(best, sum(chosen) / len(chosen))
        points.append((sum(chosen), best))
    for (found, precision), after in zip(points, [*points[1:], (0, 1.0)], strict=True):
        recall = np.float32(found / sum(labels))
        if recall != np.float32(after[0] / sum(labels)):
            values.append(precision)
    return float(np.mean(values))


# ---------------------------------------------------------------- TVR


def tvr(submission: dict[str, Any], truth: list[dict[str, Any]]) -> dict[str, Any]:
    asked = {line["desc_id"]: line for line in truth}
    kinds = [line["type"] for line in asked.values()]
    overall, by_type = {}, {}
    for task in ("VCMR", "SVMR", "VR"):
        if task not in submission:
            continue
        answered = {entry["desc_id"]: entry["predictions"] for entry in submission[task]}
        assert set(answered) == set(asked)
        names = ["r"] if task == "VR" else ["0.5-r", "0.7-r"]
        hits = {
            f"{name}{k}": [
                _found(task, answered[key], line, submission["video2idx"], name, k)
                for key, line in asked.items()
            ]
            for name in names
            for k in (1, 5, 10, 100)
        }
        overall[task] = {name: _rounded(np.mean(found)) for name, found in hits.items()}
        group: dict[str, Any] = {}
        for kind in ("v", "t", "vt"):
            for name, found in hits.items():
                own = [hit for hit, its in zip(found, kinds, strict=True) if its == kind]
                group[f"{kind}-{name}"] = _rounded(np.float64(sum(own)) / len(own)) if own else (
                    math.nan
                )  # fmt: skip
        group["desc_type_ratio"] = " ".join(
            f"{kind} {_rounded(np.mean([its == kind for its in kinds]))}"
            for kind in ("v", "t", "vt")
        )
        by_type[f"{task}_by_type"] = group
    return overall | by_type


def _found(
    task: str,
    predictions: list[list[float]],
    line: dict[str, Any],
    numbers: dict[str, int],
    name: str,
    k: int,
) -> bool:
    video = np.float32(numbers[line["vid_name"]])
    rows = [[np.float32(value) for value in row[:3]] for row in predictions[:100]]
    if task == "SVMR":
        rows = [row for row in rows if row[0] == video]
    rows = [row for row in rows[:k] if row[0] == video]
    if task == "VR":
        return bool(rows)
    threshold = np.float32(name.removesuffix("-r"))
    several = len(line["ts"]) >= 4
    windows = [[np.float32(s) for s in w] for w in (line["ts"] if several else [line["ts"]])]
    return any(
        sum(hull_iou(row[1:], window) >= threshold for window in windows) >= 1 + several
        for row in rows
    )


def _rounded(share: np.floating[Any]) -> float:
    return round(share * 100, 2)
