"""A suite with a fixed outcome, for tests of `bench run`."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from benchmarks.results.outcome import (
    Answers,
    MomentAnswer,
    Outcome,
    QueryValues,
    RankedAnswer,
    Result,
)


def run(*, folder: Path) -> Outcome:
    """Return a ranking of two queries and a moment."""
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
