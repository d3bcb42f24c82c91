"""The objective of a Hammer: three losses over batches of videos and queries, and its optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import OneCycleLR

from retrieval.localization.hammer_model import OTHER, Hammer, HammerOutput
from retrieval.training.loop import Objective, TrainingRun, train
from retrieval.training.moments.batches import IGNORED, MomentBatch

BORDER_WEIGHT = 12.0
"""Weight of a begin or an end relative to the more frequent rows that are neither."""

WORDS_WEIGHT = 0.1


@dataclass(frozen=True, slots=True)
class HammerSettings:
    """Length, learning rate and precision of the training of a Hammer.

    Attributes:
        steps: Number of batches.
        learning_rate: The peak after a tenth of the steps; a cosine to zero follows.
        bf16: Autocast to bfloat16; faster on CPUs with AMX and on GPUs.
    """

    steps: int = 3_000
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    bf16: bool = True


@dataclass(frozen=True, slots=True)
class HammerLosses:
    """The three losses of a step: video-query matching, localization, masked words."""

    match: Tensor
    labels: Tensor
    words: Tensor

    @property
    def total(self) -> Tensor:
        """The minimized loss."""
        return self.match + self.labels + WORDS_WEIGHT * self.words

    def __str__(self) -> str:
        return f"match {self.match:.3f}, labels {self.labels:.3f}, words {self.words:.3f}"


def train_hammer_model(
    model: Hammer,
    batches: Callable[[int], Iterator[MomentBatch]],
    settings: HammerSettings,
    run: TrainingRun,
) -> None:
    """Train in place.

    Args:
        model: On the device to train on.
        batches: Takes the number of a batch and yields this batch and those after it.
        settings: Length, learning rate and precision.
        run: Receives losses and scores.

    Raises:
        ValueError: The loss is not finite.
        WeightsFormatError: The checkpoint is damaged or has other settings.
    """
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(
        model.parameters(), settings.learning_rate, (0.9, 0.98), weight_decay=settings.weight_decay
    )
    schedule = partial(
        OneCycleLR,
        optimizer,
        settings.learning_rate,
        settings.steps,
        pct_start=0.1,
        cycle_momentum=False,
    )

    def backward(batch: MomentBatch) -> tuple[Tensor, str]:
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.bf16):
            outputs = model(*(tensor.to(device) for tensor in batch.inputs))
            words = model.token_logits(outputs.text[:: len(outputs.match) // len(batch.labels)])
        losses = hammer_losses(outputs, words.float(), batch)
        losses.total.backward()  # type: ignore[no-untyped-call]
        return losses.total, f" ({losses})"

    train(run, Objective(model, optimizer, schedule, backward), batches)


def hammer_losses(outputs: HammerOutput, words: Tensor, batch: MomentBatch) -> HammerLosses:
    """Compute the losses of a batch.

    Args:
        outputs: The outputs of the model.
        words: (queries, tokens, vocabulary) logits of the true pairs' words.
        batch: The labels.
    """
    device = outputs.match.device
    queries = len(batch.labels)
    match = outputs.match.float().view(queries, -1)
    own_video = torch.zeros(queries, dtype=torch.int64, device=device)
    labels = outputs.labels.float()[:: match.shape[1]]
    grams, weights = label_grams(batch.labels.to(device), labels.shape[-1])
    masked_words = batch.words.to(device)
    masked = masked_words != IGNORED
    return HammerLosses(
        functional.cross_entropy(match, own_video),
        functional.cross_entropy(labels.transpose(1, 2), grams, weight=weights),
        functional.cross_entropy(words[masked], masked_words[masked])
        if bool(masked.any())
        else words.sum() * 0,
    )


def label_grams(labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Combine the labels of each frame and of those after it into one class; weigh the classes.

    Args:
        labels: (n, rows) int64 of OTHER, BEGIN, END and IGNORED.
        classes: 3 to the power of the number of combined frames.

    Returns:
        (n, rows) int64 classes, IGNORED where a frame is; (classes,) float32 weights,
        `BORDER_WEIGHT` for classes with a begin or an end.
    """
    grams = torch.zeros_like(labels)
    position, factor = 0, classes
    while factor > 1:
        factor //= 3
        # Rows after the last frame count as neither begin nor end.
        following = functional.pad(
            labels[:, position:].clamp_min(OTHER), (0, position), value=OTHER
        )
        grams += factor * following
        position += 1
    weights = torch.full((classes,), BORDER_WEIGHT, device=labels.device)
    weights[OTHER] = 1.0
    return grams.masked_fill(labels == IGNORED, IGNORED), weights
