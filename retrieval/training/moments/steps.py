"""The training loop of a Hammer: three losses over batches of videos and queries."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import OneCycleLR

from retrieval.localization.hammer_model import OTHER, Hammer, HammerOutput
from retrieval.training.checkpoint import Checkpoint
from retrieval.training.history import TrainingHistory
from retrieval.training.moments.batches import PADDED, MomentBatch
from retrieval.training.pairs.contrastive import attention

BORDER_WEIGHT = 12.0
"""Weight of a begin or an end beside the many rows that are neither."""

WORDS_WEIGHT = 0.1


@dataclass(frozen=True, slots=True)
class HammerSettings:
    """How long and how fast to train.

    Attributes:
        steps: Batches to train on.
        learning_rate: The peak, reached after a tenth of the steps, followed by a cosine to zero.
        bf16: Mixed precision by autocast; faster on CPUs with AMX and on GPUs.
    """

    steps: int
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
        """What is minimised."""
        return self.match + self.labels + WORDS_WEIGHT * self.words

    def __str__(self) -> str:
        return f"match {self.match:.3f}, labels {self.labels:.3f}, words {self.words:.3f}"


def train_hammer_steps(
    model: Hammer,
    batches: Iterator[MomentBatch],
    settings: HammerSettings,
    on_step: Callable[[int, float, str], None] | None = None,
    *,
    checkpoint: Checkpoint | None = None,
    history: TrainingHistory | None = None,
) -> None:
    """Train in place.

    Args:
        model: On the device it is trained on.
        batches: At least `settings.steps` of them; with a checkpoint they begin with batch number
            `checkpoint.steps_done()`.
        settings: How long and how fast.
        on_step: Called with the number of steps done, the last one's loss, and its parts in words.
            What it writes into `history` is part of the checkpoint.
        checkpoint: Read before the first step, where its file exists, and written on the way. On a
            CPU a resumed training ends with the weights of an uninterrupted one.
        history: Filled while training; a checkpoint that exists replaces what it holds.

    Raises:
        ValueError: The loss is no number any more.
        WeightsFormatError: The checkpoint is damaged or of another training.
    """
    torch.set_flush_denormal(True)
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(
        model.parameters(), settings.learning_rate, (0.9, 0.98), weight_decay=settings.weight_decay
    )
    history = TrainingHistory() if history is None else history
    if checkpoint is not None:
        checkpoint.restore(model, optimizer, history)
    one_cycle = partial(
        OneCycleLR, optimizer, settings.learning_rate, settings.steps,
        pct_start=0.1, cycle_momentum=False,
    )  # fmt: skip
    schedule = one_cycle()
    if history.losses:  # a second one goes on from a step, with the peaks that the first one set
        schedule = one_cycle(last_epoch=len(history.losses) - 1)
    model.train()
    for step in range(len(history.losses), settings.steps):
        batch = next(batches)
        optimizer.zero_grad(set_to_none=True)
        with attention(device):
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.bf16):
                read = model(*(t.to(device) for t in batch_inputs(batch)))
                words = model.token_logits(read.text[:: len(read.match) // len(batch.labels)])
            losses = hammer_losses(read, words.float(), batch)
            losses.total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        history.losses.append(float(losses.total.detach()))
        if not math.isfinite(history.losses[-1]):
            raise ValueError(
                f"the loss is no number after {step + 1} steps; "
                f"train with a learning rate below {settings.learning_rate}"
            )
        if on_step is not None:
            on_step(step + 1, history.losses[-1], f" ({losses})")
        if checkpoint is not None and checkpoint.is_due(step + 1, settings.steps):
            checkpoint.save(model, optimizer, history)
    model.eval()


def batch_inputs(batch: MomentBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the model reads of a batch."""
    return batch.rows, batch.real, batch.sentences, batch.tokens


def hammer_losses(read: HammerOutput, words: Tensor, batch: MomentBatch) -> HammerLosses:
    """The losses of a batch.

    Args:
        read: What the model made of it.
        words: (queries, tokens, vocabulary) logits of the true pairs' words.
        batch: Holds the truth.
    """
    device = read.match.device
    queries = len(batch.labels)
    match = read.match.float().view(queries, -1)
    true = torch.zeros(queries, dtype=torch.int64, device=device)
    labels = read.labels.float()[:: match.shape[1]]
    grams, weights = label_grams(batch.labels.to(device), labels.shape[-1])
    hidden = batch.words.to(device)
    masked = hidden != PADDED
    return HammerLosses(
        functional.cross_entropy(match, true),
        functional.cross_entropy(labels.transpose(1, 2), grams, weight=weights),
        functional.cross_entropy(words[masked], hidden[masked])
        if bool(masked.any())
        else words.sum() * 0,
    )


def label_grams(labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """The labels of each frame and those that follow it as one class, and the classes' weights.

    Args:
        labels: (n, rows) int64 of OTHER, BEGIN, END and PADDED.
        classes: 3 to the power of the frames that are told together.

    Returns:
        (n, rows) int64 classes, PADDED where a frame is; (classes,) float32, `BORDER_WEIGHT` for
        those with a begin or an end in them.
    """
    grams = torch.zeros_like(labels)
    place, left = 0, classes
    while left > 1:
        left //= 3
        # Behind the last frame there is nothing, which is neither begin nor end.
        following = functional.pad(labels[:, place:].clamp_min(OTHER), (0, place), value=OTHER)
        grams += left * following
        place += 1
    weights = torch.full((classes,), BORDER_WEIGHT, device=labels.device)
    weights[OTHER] = 1.0
    return grams.masked_fill(labels == PADDED, PADDED), weights
