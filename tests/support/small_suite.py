"""A suite that has measured already: what `bench run` does with an outcome."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from benchmarks.results.outcome import Answers, MomentAnswer, Outcome, QueryValues, RankedAnswer
from benchmarks.results.tables import Result


def run(*, say: Callable[[str], None], folder: Path, scale: float = 1.0) -> Outcome:
    """A ranking of two queries and a moment."""
    say("measuring")
    picture = folder / "dog.png"
    Image.new("RGB", (40, 30), "red").save(picture)
    hits = {"R@1": [1.0, 0.0]}
    ranked = [
        RankedAnswer("q1", "a dog", ["dog.jpg", "cat.jpg"], [0.5, 0.25], ["dog.jpg"]),
        RankedAnswer("q2", "a cat", ["dog.jpg", "cat.jpg"], [0.5, 0.25], ["cat.jpg"]),
    ]
    moment = MomentAnswer("1", "it runs", "v", [(0.0, 2.0)], 9.0, [("v", 0.0, 2.0, 0.5)])
    return Outcome(
        [Result("small", "text → image", "R@1", 0.5, pool=2)],
        [QueryValues("small", "text → image", ["q1", "q2"], hits)],
        [
            Answers("small", "text → image", ranked, {"dog.jpg": picture}),
            Answers("small", "moment in the true video", [moment]),
        ],
    )
