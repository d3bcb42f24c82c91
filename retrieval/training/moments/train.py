"""Trains a Hammer (2011.09046): on the demo world, or on annotated videos.

The result is a folder that `--localizer hammer:FOLDER` loads: configuration, tokenizer, float16
weights, and a card that says how it came about.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.encoders.batching import choose_device
from retrieval.encoders.tokens import clean_texts
from retrieval.evaluation.moments import recall_at_1
from retrieval.files.writing import write_text
from retrieval.localization.hammer import HammerLocalizer
from retrieval.localization.hammer_files import (
    CONFIG,
    TOKENIZER,
    WEIGHTS,
    load_hammer,
    read_tokenizer,
)
from retrieval.localization.hammer_model import Hammer, HammerConfig, Level
from retrieval.localization.similarity import SimilarityLocalizer
from retrieval.localization.spans import overlap
from retrieval.protocols import Localizer
from retrieval.training.history import ValidationScore
from retrieval.training.moments.batches import BatchShape, moment_batches
from retrieval.training.moments.data import MomentData
from retrieval.training.moments.false_alarms import FalseAlarms, calibrate
from retrieval.training.moments.steps import HammerSettings, train_hammer_steps
from retrieval.training.pairs.tokenizer import train_tokenizer
from retrieval.training.run import NOBODY, Telling, TrainingRun, finish
from retrieval.training.tensors import half, write_tensors
from retrieval.types import Medium, MomentQuery, Space

WIDTH: Final = 96
HEADS: Final = 4
LEVELS: Final = (Level(16, 2), Level(8, 1))
"""Clips of 16 frames, 8 s at two frames a second; windows of 8 clips, about a minute."""

FLAT_LEVELS: Final = (Level(128, 3),)
"""The ablation: one encoder over all frames, with as many layers and parameters."""

FLAT_LEARNING_RATE: Final = 3e-4
"""At the hierarchy's 1e-3 it learns nothing beyond what the score curve in its input says."""

VOCABULARY: Final = 1_200
CONTEXT: Final = 48
STEPS: Final = 3_000


@dataclass(frozen=True, slots=True)
class MomentScore:
    """What a localizer reaches on queries in their own videos, and against rivals.

    `match` is the share of queries whose own video is scored above its hardest rivals; None for
    localizers that do not compare videos.
    """

    queries: int
    recall_half: float
    recall_strict: float
    match: float | None = None

    def __str__(self) -> str:
        match = (
            "" if self.match is None else f", own video above {COMPARED} rivals {self.match:.1%}"
        )
        return (
            f"R1@0.5 {self.recall_half:.1%}, R1@0.7 {self.recall_strict:.1%}{match} "
            f"({self.queries:,} queries)"
        )

    def after(self, step: int) -> ValidationScore:
        """As a point of a training's plot."""
        shares = {"R1@0.5": self.recall_half, "R1@0.7": self.recall_strict}
        if self.match is not None:
            shares["own video first"] = self.match
        return ValidationScore(step, shares, self.queries)


SCORED_ON_THE_WAY: Final = 100
"""Queries at most: to ask all of them ten times would take longer than to train."""

COMPARED: Final = 9
"""Rivals that a query's own video has to beat: with it they are the ten of a CPU's search."""


@dataclass(frozen=True, slots=True)
class HammerReport:
    """What a training run saw and reached, as its card states it."""

    parameters: int
    queries: int
    pairs: int
    minutes: float
    score: MomentScore
    similarity: MomentScore
    alarms: FalseAlarms

    def __str__(self) -> str:
        return f"held-out videos: {self.score}; similarity: {self.similarity}"


def train_hammer(
    out: Path,
    data: MomentData,
    held_out: MomentData,
    space: Space,
    *,
    medium: Medium = Medium.VIDEO,
    levels: Sequence[Level] = LEVELS,
    width: int = WIDTH,
    settings: HammerSettings | None = None,
    shape: BatchShape | None = None,
    vocabulary: int = VOCABULARY,
    unrelated: Sequence[MomentQuery] = (),
    source: str = "",
    seed: int = 0,
    device: str = "auto",
    telling: Telling = NOBODY,
) -> HammerReport:
    """Train a Hammer from nothing and write its folder; a killed training goes on.

    Args:
        out: Folder to write; made when missing.
        data: What to train on.
        held_out: What the card's figures are measured on.
        space: The space of the rows; searches use the result in this space only.
        medium: `video` for frames, `audio` for segments of sound.
        levels: The hierarchy, from the rows up.
        width: Of both streams.
        settings: How long and how fast.
        shape: What a batch holds.
        vocabulary: Tokens at most.
        unrelated: Texts that none of the videos answers; what the threshold of likely moments is
            measured on.
        source: A sentence for the card: what the data is.
        seed: Decides weights and batches.
        device: `auto`, `cpu` or `cuda`.
        telling: Who hears of it.

    Raises:
        WeightsFormatError: The folder holds a checkpoint of another training.
        StorageError: The folder cannot be written.
    """
    settings = settings or HammerSettings(STEPS)
    out.mkdir(parents=True, exist_ok=True)
    texts = clean_texts([one.text for one in data.asked])
    train_tokenizer(texts, out, vocabulary=vocabulary, context_length=CONTEXT)
    config = HammerConfig(
        space.digest, medium, data.dim, width, HEADS, tuple(levels), vocabulary + 1, CONTEXT
    )
    shape = shape or BatchShape(window_rows=config.window_rows)
    torch.manual_seed(seed)
    model = Hammer(config).to(choose_device(device))
    tokenizer = read_tokenizer(out / TOKENIZER, config)
    localizer = HammerLocalizer(model, config, tokenizer, choose_device(device))
    asked_on_the_way = held_out.some(SCORED_ON_THE_WAY)

    def score(step: int) -> ValidationScore:
        model.eval()
        reached = score_moments(localizer, asked_on_the_way)
        model.train()
        return reached.after(step)

    decided_by = {
        **asdict(settings),
        "seed": seed,
        "config": asdict(config),
        "shape": asdict(shape),
        "queries": hashlib.sha256(repr(data.asked).encode()).hexdigest(),
    }
    run = TrainingRun(out, settings.steps, decided_by, telling, score)
    batches = moment_batches(data, _tokens(tokenizer, texts), vocabulary, shape, seed)
    train_hammer_steps(
        model,
        islice(batches, run.begin(), None),
        settings,
        run.on_step,
        checkpoint=run.checkpoint,
        history=run.history,
    )
    save_hammer(model, config, out)
    saved = HammerLocalizer(*load_hammer(out), choose_device(device))
    alarms = calibrate(saved, held_out, unrelated)
    config = replace(config, no_match=alarms.no_match, likely_score=alarms.likely_score)
    write_config(config, out)
    saved = HammerLocalizer(*load_hammer(out), choose_device(device))
    report = HammerReport(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        queries=len(data.asked),
        pairs=settings.steps * min(shape.queries, len(data.asked)) * (1 + shape.rivals),
        minutes=run.history.seconds / 60,
        score=score_moments(saved, held_out),
        similarity=score_moments(SimilarityLocalizer(), held_out),
        alarms=alarms,
    )
    write_text(out / "README.md", describe(out.name, report, config, space, source, seed))
    finish(run)
    return report


def score_moments(localizer: Localizer, data: MomentData) -> MomentScore:
    """Ask every query of its own video; a Hammer is also asked to tell it from its rivals.

    Of several true windows the one that overlaps the answer most counts, as QVHighlights has it.
    """
    found, true, matches = [], [], []
    for number, asked in enumerate(data.asked):
        query = MomentQuery(data.sentences[number], asked.text)
        own = data.videos[asked.video]
        best = localizer.localize(query, [own])[0][0][:2]
        found.append(best)
        true.append(max(asked.windows, key=lambda window: overlap(window, best)))
        if isinstance(localizer, HammerLocalizer):
            rivals = [data.videos[video] for video in data.rivals[number][:COMPARED].tolist()]
            scores = [reading.match for reading in localizer.predict(query, [own, *rivals])]
            matches.append(scores[0] > max(scores[1:], default=-np.inf))
    return MomentScore(
        len(found),
        recall_at_1(found, true, 0.5),
        recall_at_1(found, true, 0.7),
        float(np.mean(matches)) if matches else None,
    )


def describe(
    name: str, report: HammerReport, config: HammerConfig, space: Space, source: str, seed: int
) -> str:
    """The model card."""
    levels = ", ".join(f"{level.layers} layers over {level.units}" for level in config.levels)
    rows = "frames" if config.medium is Medium.VIDEO else "segments of sound"
    return f"""# {name}

A Hammer for {space.encoder}: finds the moment of a video or recording that a text describes
(HAMMER, 2011.09046). A hierarchy of cross-modal transformers, {levels} from
the rows up: {report.parameters / 1e6:.1f} million parameters.

- Reads: the stored {rows} of the space with digest {config.space_digest[:8]} ({config.dim}-d), and
  the tokens of the query behind its vector in that space.
- Data: {source or "annotated videos"}; {report.queries:,} queries, {report.pairs:,} pairs of a
  query and a video read, seed {seed}.
- Training: {report.minutes:.0f} minutes on the clock. Command: `retrieval train hammer`.
- Held-out videos, moment in the true video: {report.score}.
- The same by `similarity`, without training: {report.similarity}.
- {report.alarms}.
- Licence: Apache-2.0, as the repository. Weights are float16 safetensors.
"""


def save_hammer(model: Hammer, config: HammerConfig, folder: Path) -> None:
    """Write configuration and float16 weights; the tokenizer lies in the folder already."""
    write_config(config, folder)
    write_tensors(folder / WEIGHTS, half(model.state_dict()))


def write_config(config: HammerConfig, folder: Path) -> None:
    """Write config.json as `load_hammer` reads it."""
    write_text(folder / CONFIG, json.dumps(asdict(config), indent=2) + "\n")


def _tokens(tokenizer: Any, texts: Sequence[str]) -> NDArray[np.int64]:
    return np.array([one.ids for one in tokenizer.encode_batch(list(texts))], np.int64)
