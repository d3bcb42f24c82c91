"""Training on the pairs of a manifest: from the manifest to the folder of a model.

A run reads the pairs, holds some out, opens the model to continue or creates one, decodes every
span once to find the usable ones, trains, and writes the folder.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from retrieval.encoders.batching import choose_device
from retrieval.encoders.towers import TextTower
from retrieval.errors import ModelError
from retrieval.files.writing import write_text
from retrieval.progress import Progress, no_progress
from retrieval.training.history import ValidationScore
from retrieval.training.loop import TrainingRun, finish
from retrieval.training.pairs.adapter import train_adapter
from retrieval.training.pairs.augmentation import Augmented, choose_augmentation
from retrieval.training.pairs.batches import PairBatches, ValidationSet, score_towers
from retrieval.training.pairs.contrastive import Auxiliary, train_contrastive
from retrieval.training.pairs.manifest import CaptionedSpan
from retrieval.training.pairs.masked_language import WithMaskedLanguage
from retrieval.training.pairs.new_model import create_model, create_video_model
from retrieval.training.pairs.options import PairsData, PairsOptions
from retrieval.training.pairs.trainable import (
    BACKENDS,
    IMAGES,
    TEXT,
    TrainableModel,
    check_frozen,
    find_image_model,
    open_trainable,
    resolve_init,
)

EPOCHS, MIN_STEPS = 10, 200
NEW_RATE, CONTINUED_RATE = 1e-3, 1e-5
"""Peak learning rates of towers with random weights and of trained towers."""


@dataclass(frozen=True, slots=True)
class PairsReport:
    """Data and scores of a training run on pairs.

    Attributes:
        spec: Specification of the trained model.
        spans: Number of spans in training.
        skipped: Number of unusable rows.
        steps: Number of batches.
        seconds: Wall-clock time of this call.
        before: Score on the validation pairs before the first step; None without any.
        after: Score after the last step.
    """

    spec: str
    spans: int
    skipped: int
    steps: int
    seconds: float
    before: ValidationScore | None
    after: ValidationScore | None

    @property
    def scores(self) -> str:
        """Both scores as text."""
        if self.after is None:
            return "no validation pairs"
        return f"text → media, before: {self.before}; after: {self.after}"

    def __str__(self) -> str:
        skipped = f", {self.skipped:,} rows skipped" if self.skipped else ""
        return (
            f"{self.spans:,} media{skipped}, {self.steps:,} steps in {self.seconds:.0f} s\n"
            f"{self.scores}"
        )


def train_on_pairs(options: PairsOptions, progress: Progress = no_progress) -> PairsReport:
    """Train a model on the pairs of a manifest and write its folder.

    A killed run resumes from its checkpoint when it is called again with the same options. The
    folder contains the model, training.svg and README.md.

    Raises:
        SourceError: The manifest cannot be read, or has fewer than two usable spans.
        ModelError: The model to continue cannot be loaded, or has no such tower.
        WeightsFormatError: The folder has a checkpoint of another run.
        StorageError: The folder cannot be written.
    """
    start = time.monotonic()
    _check(options)
    data = PairsData.read(options, progress)
    options.out.mkdir(parents=True, exist_ok=True)
    spec, run = train_adapter(data) if options.adapter else train_towers(data)
    scores = run.history.scores
    report = PairsReport(
        spec=spec,
        spans=len(data.spans),
        skipped=len(data.skipped),
        steps=len(run.history.losses),
        seconds=time.monotonic() - start,
        before=scores[0] if scores else None,
        after=scores[-1] if scores else None,
    )
    write_text(options.out / "README.md", describe(options, report))
    finish(options.out, run)
    return report


def train_towers(data: PairsData) -> tuple[str, TrainingRun]:
    """Train both towers, or the one that is not frozen.

    Returns:
        The specification of the trained model, and the run.
    """
    options = data.options
    start = options.out / "start"  # A separate folder: new weights are not a result.
    spec = _first_weights(options, data.spans, start)
    # A new video-text model extends a trained image-text model, which is trained unless frozen.
    is_new = start.exists() and (options.architecture != "video" or options.frozen == IMAGES)
    device = choose_device(options.device)
    model = open_trainable(options.architecture, spec, frozen=options.frozen, device=device)
    media = data.open_media(model.reader, held_out=False)
    data.check_enough()
    held_out_media = data.open_media(model.reader, held_out=True)
    validation = ValidationSet(data.held_out)
    batches = PairBatches(data.spans, options.batch, options.seed)
    settings = data.settings(
        steps=max(MIN_STEPS, math.ceil(EPOCHS * len(data.spans) / options.batch)),
        learning_rate=NEW_RATE if is_new else CONTINUED_RATE,
        bf16=True,
    )
    run = data.create_run(
        settings, model.digest, lambda step: score_towers(validation, held_out_media, model, step)
    )
    trained, auxiliary = _add_auxiliary(model, options)
    train_contrastive(
        trained,
        lambda first: batches.prepared(media, model, first),
        settings,
        run,
        auxiliary=auxiliary,
    )
    model.save(options.out)
    shutil.rmtree(start, ignore_errors=True)
    return f"{BACKENDS[options.architecture]}:{options.out.resolve()}", run


def _first_weights(options: PairsOptions, spans: Sequence[CaptionedSpan], start: Path) -> str:
    """Return the specification of the model to train; a new one is written to `start`."""
    init = options.init
    if options.architecture == "video":
        images = find_image_model(init or "tiny-image")
        if images is not None:
            create_video_model(start, images, options.seed)
            return f"{BACKENDS['video']}:{start.resolve()}"
    elif init is None:
        create_model(options.architecture, start, spans, options.seed, options.size)
    return resolve_init(options.architecture, init or str(start))


def _check(options: PairsOptions) -> None:
    """Refuse contradictory options before any work."""
    check_frozen(options.architecture, options.frozen)
    if options.adapter and options.init is None:
        raise ModelError("an adapter needs a model to adapt, got none")
    mulan_towers = options.architecture == "mulan" and not options.adapter
    if options.augment and not mulan_towers:
        raise ModelError("augmentation changes the input of a MuLan's towers; train without it")
    if options.masked_language and (not mulan_towers or options.frozen == TEXT):
        raise ModelError(
            "a masked language model trains the text tower of a MuLan; train without it"
        )


def _add_auxiliary(
    model: TrainableModel, options: PairsOptions
) -> tuple[nn.Module, Auxiliary | None]:
    """Return the module to train and, if the options name one, its auxiliary loss."""
    towers: nn.Module = model.towers
    if options.augment:
        towers = Augmented(towers, choose_augmentation(options.augment))
    if not options.masked_language:
        return towers, None
    text = model.towers.model.text
    assert isinstance(text, TextTower)  # `_check` accepts a MuLan only.
    torch.manual_seed(options.seed)
    combined = WithMaskedLanguage(towers, text, options.masked_language)
    return combined, combined.auxiliary


def describe(options: PairsOptions, report: PairsReport) -> str:
    """Return the model card."""
    verb = "An adapter on the vectors of" if options.adapter else "Continues"
    origin = f"{verb} {options.init}" if options.init else "Trained from random weights"
    frozen = f"; its {options.frozen} tower is frozen" if options.frozen else ""
    return f"""# {options.out.resolve().name}

{origin}{frozen}.

- Data: {report.spans:,} media of {options.pairs.name}; {report.skipped:,} rows could not be used.
- Training: {report.steps:,} batches of {options.batch}, seed {options.seed}; training.svg shows it.
- Validation pairs, {report.scores}.
"""
