"""`train clip --pairs` and `train mulan --pairs`: from a manifest of pairs to a model's folder.

The story of one run: read the pairs, hold some out, open the model they continue (or begin one),
decode every clip once to see which can be used, train, and write the folder.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from retrieval.encoders.batching import choose_device
from retrieval.encoders.towers import TextTower
from retrieval.errors import ModelError
from retrieval.files.writing import write_text
from retrieval.training.bundled.masked_language import WithMaskedLanguage
from retrieval.training.history import ValidationScore
from retrieval.training.pairs.adapter import train_adapter
from retrieval.training.pairs.augmentation import Augmented, choose_augmentation
from retrieval.training.pairs.batches import PairBatches, Validation, score_towers, tower_batches
from retrieval.training.pairs.contrastive import train_contrastive
from retrieval.training.pairs.manifest import CaptionedClip
from retrieval.training.pairs.new_model import begin_model, begin_video
from retrieval.training.pairs.options import PairsOptions, PairsRun
from retrieval.training.pairs.trainable import (
    BACKENDS,
    IMAGES,
    TEXT,
    Trainable,
    check_frozen,
    image_model_under,
    open_trainable,
    spec_of,
)
from retrieval.training.run import NOBODY, Telling, TrainingRun, finish

CARD = "README.md"
EPOCHS, LEAST_STEPS = 10, 200
RATE_ANEW, RATE_CONTINUED = 1e-3, 1e-5
"""Peaks for towers from nothing, and for towers that know something already."""


@dataclass(frozen=True, slots=True)
class PairsReport:
    """What a training on pairs saw and reached.

    Attributes:
        spec: What `--model` takes to use the result.
        clips: Clips that it was trained on.
        skipped: Rows that could not be used.
        steps: Batches.
        seconds: On the clock, of this call.
        before: Score on the validation pairs before the first step; None without any.
        after: After the last.
    """

    spec: str
    clips: int
    skipped: int
    steps: int
    seconds: float
    before: ValidationScore | None
    after: ValidationScore | None

    @property
    def scores(self) -> str:
        """Both scores in words."""
        if self.after is None:
            return "no validation pairs"
        return f"text → media, before: {self.before}; after: {self.after}"

    def __str__(self) -> str:
        skipped = f", {self.skipped:,} rows skipped" if self.skipped else ""
        return (
            f"{self.clips:,} clips{skipped}, {self.steps:,} steps in {self.seconds:.0f} s\n"
            f"{self.scores}\nuse it with --model {self.spec}"
        )


def train_on_pairs(options: PairsOptions, telling: Telling = NOBODY) -> PairsReport:
    """Train a model on the pairs of a manifest and write its folder.

    A killed run goes on where its checkpoint stands when it is started again with the same
    options. The folder holds the model, training.svg and README.md.

    Raises:
        SourceError: The manifest cannot be read, or none of its rows can be used.
        ModelError: What to continue cannot be loaded, or has no such tower.
        WeightsFormatError: The folder holds a checkpoint of another training.
        StorageError: The folder cannot be written.
    """
    began = time.monotonic()
    _check(options)
    run = PairsRun.read(options, telling)
    options.out.mkdir(parents=True, exist_ok=True)
    spec, training = train_adapter(run) if options.adapter else train_towers(run)
    scores = training.history.scores
    report = PairsReport(
        spec=spec,
        clips=len(run.clips),
        skipped=len(run.bad),
        steps=len(training.history.losses),
        seconds=time.monotonic() - began,
        before=scores[0] if scores else None,
        after=scores[-1] if scores else None,
    )
    write_text(options.out / CARD, describe(options, report))
    finish(training)
    return report


def train_towers(run: PairsRun) -> tuple[str, TrainingRun]:
    """Train both towers, or the one that is not frozen.

    Returns:
        The result's specification, and how the training went.
    """
    options = run.options
    start = options.out / "start"  # of a model from nothing; never mistaken for the result
    spec = _first_weights(options, run.clips, start)
    # A video-text model stands on one that knows something, and that may be trained along.
    anew = start.exists() and (options.kind != "video" or options.frozen == IMAGES)
    device = choose_device(options.device)
    model = open_trainable(options.kind, spec, frozen=options.frozen, device=device)
    media = run.open_media(model.reader, held_out=False)
    run.check_enough()
    scored = run.open_media(model.reader, held_out=True)
    validation = Validation(run.held_out)
    batches = PairBatches(run.clips, options.batch, options.seed)
    settings = run.settings(
        steps=max(LEAST_STEPS, math.ceil(EPOCHS * len(run.clips) / options.batch)),
        learning_rate=RATE_ANEW if anew else RATE_CONTINUED,
        bf16=True,
    )
    training = run.training(
        settings, model.digest, lambda step: score_towers(validation, scored, model, step)
    )
    trained, auxiliary = _with_auxiliary(model, options)
    train_contrastive(
        trained,
        tower_batches(batches, media, model, training.begin()),
        settings,
        training.on_step,
        checkpoint=training.checkpoint,
        history=training.history,
        auxiliary=auxiliary,
    )
    model.save(options.out)
    shutil.rmtree(start, ignore_errors=True)
    return f"{BACKENDS[options.kind]}:{options.out.resolve()}", training


def _first_weights(options: PairsOptions, clips: Sequence[CaptionedClip], start: Path) -> str:
    """The specification of what is trained further; written to `start` where it is new."""
    init = options.init
    if options.kind == "video":
        images = image_model_under(init or "tiny-image")
        if images is not None:
            begin_video(start, images, options.seed)
            return f"{BACKENDS['video']}:{start.resolve()}"
    elif init is None:
        begin_model(options.kind, start, clips, options.seed, options.size)
    return spec_of(options.kind, init or str(start))


def _check(options: PairsOptions) -> None:
    """Refuse what does not go together, before any work."""
    check_frozen(options.kind, options.frozen)
    if options.adapter and options.init is None:
        raise ModelError("an adapter needs --init: the model whose vectors it adapts")
    if options.augment and (options.kind != "mulan" or options.adapter):
        raise ModelError("--augment alters what the towers of a MuLan hear; leave it out")
    if options.masked_language and (
        options.kind != "mulan" or options.adapter or options.frozen == TEXT
    ):
        raise ModelError(
            "a masked language model trains the text tower of a MuLan; leave out --mlm"
        )


def _with_auxiliary(
    model: Trainable, options: PairsOptions
) -> tuple[nn.Module, Callable[[Tensor], Tensor] | None]:
    """What is trained, and its auxiliary loss, if one is asked for."""
    towers: nn.Module = model.towers
    if options.augment:
        towers = Augmented(towers, choose_augmentation(options.augment))
    if not options.masked_language:
        return towers, None
    text = model.towers.model.text
    assert isinstance(text, TextTower)  # `_check` lets a MuLan through only
    torch.manual_seed(options.seed)
    both = WithMaskedLanguage(towers, text, options.masked_language)
    return both, both.auxiliary


def describe(options: PairsOptions, report: PairsReport) -> str:
    """The model card."""
    what = "An adapter on the vectors of" if options.adapter else "Continues"
    begins = f"{what} {options.init}" if options.init else "Trained from nothing"
    frozen = f", its {options.frozen} tower frozen" if options.frozen else ""
    return f"""# {options.out.resolve().name}

{begins}{frozen}.

- Data: {report.clips:,} clips of {options.pairs.name}; {report.skipped:,} rows could not be used.
- Training: {report.steps:,} batches of {options.batch}, seed {options.seed}; training.svg shows it.
- Validation pairs, {report.scores}.
"""
