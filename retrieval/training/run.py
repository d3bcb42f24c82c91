"""One training on its way: what all of them share, whatever they train."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrieval.files.writing import write_text
from retrieval.training.checkpoint import Checkpoint
from retrieval.training.history import TrainingHistory, ValidationScore, draw_history, join

PLOT = "training.svg"
VALIDATIONS = 10
"""Times that the model is scored on the way."""

STEPS_BETWEEN_CHECKPOINTS = 200
"""At most; a short training writes one at each validation."""


def _nothing(*arguments: object) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Telling:
    """Who hears of a training.

    Attributes:
        say: Called with a line now and then.
        progress: Called with what is being done, the number done, of how many, and a note.
    """

    say: Callable[[str], None] = _nothing
    progress: Callable[[str, int, int, str], None] = _nothing


NOBODY = Telling()


@dataclass(slots=True)
class TrainingRun:
    """A training that may be killed at any step, is told of, and is drawn at its end.

    Attributes:
        out: Its folder, which exists.
        steps: Batches.
        decided_by: What decides it (settings, data, first weights) as JSON values. A checkpoint of
            another training is refused.
        telling: Who hears of it.
        score: Scores the model after a number of steps; None: there is nothing to score it on.
        lesson: Its number, where several trainings follow each other on one model.
        history: Losses and scores so far.
        checkpoint: Where it stands, on disk.
    """

    out: Path
    steps: int
    decided_by: Mapping[str, Any]
    telling: Telling
    score: Callable[[int], ValidationScore] | None = None
    lesson: int | None = None
    history: TrainingHistory = field(default_factory=TrainingHistory)
    checkpoint: Checkpoint = field(init=False)
    _since: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        file = "checkpoint" if self.lesson is None else f"checkpoint-{self.lesson}"
        every = max(1, min(STEPS_BETWEEN_CHECKPOINTS, self.steps // VALIDATIONS))
        self.checkpoint = Checkpoint(self.out / f"{file}.safetensors", self.decided_by, every)

    def begin(self) -> int:
        """Score the model as it is, if nothing did before.

        Returns:
            The steps that the checkpoint holds: the batches begin with this one.

        Raises:
            WeightsFormatError: The checkpoint is damaged, or of another training.
        """
        done = self.checkpoint.steps_done()
        if done:
            self._say(f"going on after {done} of {self.steps} steps")
        else:
            self._take_score(0)
        self._since = time.monotonic()
        return done

    def on_step(self, step: int, loss: float, note: str = "") -> None:
        """What a trainer calls after every step, with the number of steps done."""
        now = time.monotonic()
        self.history.seconds += now - self._since
        self._since = now
        if step % max(1, self.steps // VALIDATIONS) == 0 or step == self.steps:
            self._take_score(step)
        scores = self.history.scores
        best = f", {scores[-1].headline}" if scores else ""
        self.telling.progress(self._name, step, self.steps, f"loss {loss:.3f}{note}{best}")

    @property
    def _name(self) -> str:
        return "train" if self.lesson is None else f"lesson {self.lesson}"

    def _say(self, line: str) -> None:
        self.telling.say(line if self.lesson is None else f"{self._name}, {line}")

    def _take_score(self, step: int) -> None:
        if self.score is not None:
            self.history.scores.append(self.score(step))
            self._say(f"step {step}: {self.history.scores[-1]}")


def finish(*runs: TrainingRun) -> None:
    """Draw a training that has ended, its lessons side by side, and drop its checkpoints."""
    write_text(runs[0].out / PLOT, draw_history(join([run.history for run in runs])))
    for run in runs:
        run.checkpoint.path.unlink(missing_ok=True)
