"""Training of a Hammer (2011.09046): from moment data to the folder of a localizer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
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
from retrieval.progress import Progress, no_progress
from retrieval.protocols import Localizer
from retrieval.training.history import ValidationScore
from retrieval.training.loop import TrainingRun, finish
from retrieval.training.moments.batches import BatchShape, moment_batches
from retrieval.training.moments.data import MomentData
from retrieval.training.moments.false_alarms import FalseAlarms, calibrate
from retrieval.training.moments.objective import HammerSettings, train_hammer_model
from retrieval.training.pairs.tokenizer import train_tokenizer
from retrieval.training.tensors import half, write_tensors
from retrieval.types import Medium, MomentQuery, Space

HEADS: Final = 4
CONTEXT_LENGTH: Final = 48
LEVELS: Final = (Level(16, 2), Level(8, 1))
"""Clips of 16 frames, 8 s at two frames a second; windows of 8 clips, about a minute."""

FLAT_LEVELS: Final = (Level(128, 3),)
"""The ablation: one encoder over all frames, with as many layers and parameters."""

FLAT_LEARNING_RATE: Final = 3e-4
"""At the hierarchy's 1e-3 the ablation only reproduces the score curve in its input."""

MAX_VALIDATION_QUERIES: Final = 100
"""Queries scored during training; scoring all of them ten times takes longer than training."""

COMPARED_RIVALS: Final = 9
"""Rivals that a query's own video competes with; together they are the ten of a CPU's search."""


@dataclass(frozen=True, slots=True)
class HammerOptions:
    """Options of the training of a Hammer.

    Attributes:
        out: Folder to write; created when missing.
        settings: Length, learning rate and precision.
        seed: Determines weights and batches.
        device: `auto`, `cpu` or `cuda`.
        levels: The hierarchy, from the rows up.
        width: Width of both streams.
        shape: Sizes of a batch; None: windows of the length that the levels read.
        vocabulary: Largest number of tokens.
    """

    out: Path
    settings: HammerSettings = field(default_factory=HammerSettings)
    seed: int = 0
    device: str = "auto"
    levels: tuple[Level, ...] = LEVELS
    width: int = 96
    shape: BatchShape | None = None
    vocabulary: int = 1_200

    def flat(self) -> HammerOptions:
        """Return the options of the ablation: one level over all frames, with as many layers."""
        settings = replace(self.settings, learning_rate=FLAT_LEARNING_RATE)
        return replace(self, levels=FLAT_LEVELS, settings=settings)


@dataclass(frozen=True, slots=True)
class HammerDataset:
    """Data to train a Hammer on, and to score it on.

    Attributes:
        training: Training data.
        held_out: Data for the scores of the model card.
        space: The space of the rows; the model works in this space only.
        medium: `video` for frames, `audio` for segments of sound.
        unrelated: Texts that no video answers; they calibrate the threshold of likely moments.
        source: Description of the data for the model card.
    """

    training: MomentData
    held_out: MomentData
    space: Space
    medium: Medium = Medium.VIDEO
    unrelated: Sequence[MomentQuery] = ()
    source: str = "annotated videos"


@dataclass(frozen=True, slots=True)
class MomentScore:
    """Scores of a localizer in each query's own video, and against rivals.

    `match` is the share of queries whose own video scores above its hardest rivals; None for
    localizers that do not compare videos.
    """

    queries: int
    recall_half: float
    recall_strict: float
    match: float | None = None

    def __str__(self) -> str:
        match = (
            ""
            if self.match is None
            else f", own video above {COMPARED_RIVALS} rivals {self.match:.1%}"
        )
        return (
            f"R1@0.5 {self.recall_half:.1%}, R1@0.7 {self.recall_strict:.1%}{match} "
            f"({self.queries:,} queries)"
        )

    def at_step(self, step: int) -> ValidationScore:
        """Return the scores as a point of the training history."""
        shares = {"R1@0.5": self.recall_half, "R1@0.7": self.recall_strict}
        if self.match is not None:
            shares["own video first"] = self.match
        return ValidationScore(step, shares, self.queries)


@dataclass(frozen=True, slots=True)
class HammerReport:
    """Data and scores of a training run, as the model card states them."""

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
    dataset: HammerDataset, options: HammerOptions, progress: Progress = no_progress
) -> HammerReport:
    """Train a Hammer with random first weights and write its folder; a killed run resumes.

    Raises:
        WeightsFormatError: The folder has a checkpoint of another run.
        StorageError: The folder cannot be written.
    """
    out, settings, data = options.out, options.settings, dataset.training
    out.mkdir(parents=True, exist_ok=True)
    texts = clean_texts([query.text for query in data.queries])
    train_tokenizer(texts, out, vocabulary=options.vocabulary, context_length=CONTEXT_LENGTH)
    config = HammerConfig(
        dataset.space.digest,
        dataset.medium,
        data.dim,
        options.width,
        HEADS,
        options.levels,
        options.vocabulary + 1,
        CONTEXT_LENGTH,
    )
    shape = options.shape or BatchShape(window_rows=config.window_rows)
    device = choose_device(options.device)
    torch.manual_seed(options.seed)
    model = Hammer(config).to(device)
    tokenizer = read_tokenizer(out / TOKENIZER, config)
    localizer = HammerLocalizer(model, config, tokenizer, device)
    validation = dataset.held_out.subset(MAX_VALIDATION_QUERIES)

    def score(step: int) -> ValidationScore:
        model.eval()
        moment_score = score_moments(localizer, validation)
        model.train()
        return moment_score.at_step(step)

    run_settings = {
        **asdict(settings),
        "seed": options.seed,
        "config": asdict(config),
        "shape": asdict(shape),
        "queries": data.queries_digest(),
    }
    run = TrainingRun.in_folder(out, settings.steps, run_settings, score=score, progress=progress)
    batches = moment_batches(
        data, _tokenize(tokenizer, texts), options.vocabulary, shape, options.seed
    )
    train_hammer_model(model, lambda first: islice(batches, first, None), settings, run)
    save_hammer(model, config, out)
    saved = HammerLocalizer(*load_hammer(out), device)
    alarms = calibrate(saved, dataset.held_out, dataset.unrelated)
    config = replace(config, no_match=alarms.no_match, likely_score=alarms.likely_score)
    write_config(config, out)
    saved = HammerLocalizer(*load_hammer(out), device)
    report = HammerReport(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        queries=len(data.queries),
        pairs=settings.steps * min(shape.queries, len(data.queries)) * (1 + shape.rivals),
        minutes=run.history.seconds / 60,
        score=score_moments(saved, dataset.held_out),
        similarity=score_moments(SimilarityLocalizer(), dataset.held_out),
        alarms=alarms,
    )
    write_text(out / "README.md", describe(report, config, dataset, options))
    finish(out, run)
    return report


def score_moments(localizer: Localizer, data: MomentData) -> MomentScore:
    """Localize each query in its own video; let a Hammer also compare the video with its rivals.

    Of several true windows, the one with the largest overlap counts, as in QVHighlights.
    """
    predicted, true, matches = [], [], []
    for number, moment in enumerate(data.queries):
        query = MomentQuery(data.sentences[number], moment.text)
        own = data.videos[moment.video]
        best = localizer.localize(query, [own])[0][0][:2]
        predicted.append(best)
        true.append(max(moment.windows, key=lambda window: overlap(window, best)))
        if isinstance(localizer, HammerLocalizer):
            rivals = [data.videos[video] for video in data.rivals[number][:COMPARED_RIVALS]]
            scores = [reading.match for reading in localizer.predict(query, [own, *rivals])]
            matches.append(scores[0] > max(scores[1:], default=-np.inf))
    return MomentScore(
        len(predicted),
        recall_at_1(predicted, true, 0.5),
        recall_at_1(predicted, true, 0.7),
        float(np.mean(matches)) if matches else None,
    )


def describe(
    report: HammerReport, config: HammerConfig, dataset: HammerDataset, options: HammerOptions
) -> str:
    """Return the model card."""
    levels = ", ".join(f"{level.layers} layers over {level.units}" for level in config.levels)
    rows = "frames" if config.medium is Medium.VIDEO else "segments of sound"
    return f"""# {options.out.name}

A Hammer for {dataset.space.encoder}: localizes the moment of a video or recording that a text
describes (HAMMER, 2011.09046). A hierarchy of cross-modal transformers, {levels} from
the rows up: {report.parameters / 1e6:.1f} million parameters.

- Input: the stored {rows} of the space with digest {config.space_digest[:8]} ({config.dim}-d), and
  the tokens of the query and its vector in that space.
- Data: {dataset.source}; {report.queries:,} queries, {report.pairs:,} pairs of a query and a video,
  seed {options.seed}.
- Training: {report.minutes:.0f} minutes of wall-clock time; training.svg shows it.
- Held-out videos, moment in the true video: {report.score}.
- `similarity`, without training: {report.similarity}.
- {report.alarms}.
- License: Apache-2.0, as the repository. Weights are float16 safetensors.
"""


def save_hammer(model: Hammer, config: HammerConfig, folder: Path) -> None:
    """Write configuration and float16 weights; the folder already has the tokenizer."""
    write_config(config, folder)
    write_tensors(folder / WEIGHTS, half(model.state_dict()))


def write_config(config: HammerConfig, folder: Path) -> None:
    """Write config.json as `load_hammer` reads it."""
    write_text(folder / CONFIG, json.dumps(asdict(config), indent=2) + "\n")


def _tokenize(tokenizer: Any, texts: Sequence[str]) -> NDArray[np.int64]:
    return np.array([encoded.ids for encoded in tokenizer.encode_batch(list(texts))], np.int64)
