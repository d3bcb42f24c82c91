"""The share of drawn words that reading pictures finds, by the size of the letters and background.

A word is found if it is in the text of its picture, apart from letter case. Words that were not
drawn lower the precision.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.datasets.drawn_words import DrawnWords, draw_pictures
from benchmarks.results.outcome import Outcome, QueryValues, Result
from retrieval.media.ocr.engine import load_engine
from retrieval.media.ocr.reading import read_writing

logger = logging.getLogger(__name__)

SUITE = "ocr"
PICTURES = 200
RECALL_GOAL = 0.95


@dataclass(frozen=True, slots=True)
class _Reading:
    """What was read in one picture."""

    picture: DrawnWords
    recall: float
    precision: float


def run(*, scale: float = 1.0) -> Outcome:
    """Draw the pictures, read them, and compare the words.

    Args:
        scale: Share of the pictures.
    """
    engine = load_engine()
    count = max(6, round(PICTURES * scale))
    logger.info("reading %d pictures", count)
    readings = []
    for picture in draw_pictures(count):
        text = read_writing(picture.image, engine).text
        readings.append(_Reading(picture, *_shares(picture.words, text)))
    results = [
        _mean("words", "recall", [one.recall for one in readings], goal=RECALL_GOAL),
        _mean("words", "precision", [one.precision for one in readings]),
    ]
    groups: dict[str, list[float]] = defaultdict(list)
    for one in readings:
        groups[f"letters of {one.picture.letter_pixels} px"].append(one.recall)
    for one in readings:
        groups[f"background: {one.picture.background}"].append(one.recall)
    results += [_mean(task, "recall", values) for task, values in groups.items()]
    ids = [
        f"{n} {one.picture.font} {one.picture.letter_pixels} px" for n, one in enumerate(readings)
    ]
    values = {
        "recall": [one.recall for one in readings],
        "precision": [one.precision for one in readings],
    }
    return Outcome(results, [QueryValues(SUITE, "words", ids, values)])


def _shares(words: Sequence[str], text: str) -> tuple[float, float]:
    """Return the share of drawn words that were read, and of read words that were drawn."""
    drawn = {word.casefold() for word in words}
    read = set(re.findall(r"\w+", text.casefold()))
    common = len(drawn & read)
    return common / len(drawn), common / len(read) if read else 0.0


def _mean(task: str, metric: str, values: Sequence[float], goal: float | None = None) -> Result:
    return Result(SUITE, task, metric, sum(values) / len(values), goal, pool=len(values))
