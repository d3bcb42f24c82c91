"""Contrastive training of two towers on batches of matching pairs.

The loss is CLIP's (2103.00020): symmetric cross-entropy over the similarity matrix of a batch, with
a learned temperature. MuLan (2208.12415) uses the same loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from retrieval.training.loop import Objective, TrainingRun, train
from retrieval.training.pairs.grad_cache import backward_in_parts, split_rows

MAX_LOGIT_SCALE = math.log(100.0)
"""Keeps the temperature above 1/100, as in CLIP; lower ones make training unstable."""

PairBatch = tuple[Tensor, Tensor]
"""Inputs of the media tower and of the text tower, (n, …) each; row i matches row i."""

Auxiliary = Callable[[Tensor], Tensor]
"""Computes a further loss from the inputs of the text tower."""


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Length, learning rate and precision of a contrastive training run.

    Attributes:
        steps: Number of batches.
        learning_rate: The peak after `warmup_steps`; a cosine to zero follows.
        bf16: Autocast to bfloat16; several times faster on CPUs with AMX and on GPUs.
        part_pairs: Pairs that pass the towers at once; None: the whole batch. The loss compares
            all pairs of the batch in either case (`retrieval.training.pairs.grad_cache`).
    """

    steps: int
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    weight_decay: float = 0.1
    seed: int = 0
    bf16: bool = True
    part_pairs: int | None = None


def train_contrastive(
    model: nn.Module,
    batches: Callable[[int], Iterator[PairBatch]],
    settings: TrainingSettings,
    run: TrainingRun | None = None,
    *,
    auxiliary: Auxiliary | None = None,
) -> list[float]:
    """Train two towers in place.

    Args:
        model: `forward(media, tokens)` returns unit media vectors (n, dim), unit text vectors
            (n, dim) and the inverse temperature. Its parameter `logit_scale` is the logarithm of
            the inverse temperature.
        batches: Takes the number of a batch and yields this batch and those after it.
        settings: Length, learning rate and precision.
        run: Receives losses and scores; None: a run without checkpoints.
        auxiliary: A loss to add to the contrastive one; its parameters belong to `model`.

    Returns:
        The loss of every step, including those before a checkpoint.

    Raises:
        ValueError: There are too few batches, or the loss is not finite.
        WeightsFormatError: The checkpoint is damaged or has other settings.
    """
    run = run or TrainingRun(settings.steps)
    torch.manual_seed(settings.seed)
    optimizer = torch.optim.AdamW(
        _parameter_groups(model, settings.weight_decay),
        lr=settings.learning_rate,
        betas=(0.9, 0.98),
    )
    device = next(model.parameters()).device

    def backward(batch: PairBatch) -> tuple[Tensor, str]:
        media, tokens = (tensor.to(device, non_blocking=True) for tensor in batch)
        return _backward(model, media, tokens, settings, auxiliary), ""

    def limit_temperature() -> None:
        with torch.no_grad():
            model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)  # type: ignore[operator]

    schedule = partial(LambdaLR, optimizer, partial(_rate, settings))
    train(run, Objective(model, optimizer, schedule, backward, limit_temperature), batches)
    return run.history.losses


def _backward(
    model: nn.Module,
    media: Tensor,
    tokens: Tensor,
    settings: TrainingSettings,
    auxiliary: Auxiliary | None,
) -> Tensor:
    """Add the gradients of one batch; return its contrastive loss without a graph."""

    def forward(media: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.autocast(media.device.type, torch.bfloat16, enabled=settings.bf16):
            media_vectors, text_vectors, scale = model(media, tokens)
        return media_vectors, text_vectors, scale

    part_pairs = settings.part_pairs or len(media)
    if part_pairs < len(media):
        loss = backward_in_parts(model, forward, contrastive_loss, media, tokens, part_pairs)
    else:
        media_vectors, text_vectors, scale = forward(media, tokens)
        loss = contrastive_loss(media_vectors.float(), text_vectors.float(), scale.float())
        loss.backward()  # type: ignore[no-untyped-call]
    if auxiliary is not None:
        for part in split_rows(tokens, part_pairs):
            with torch.autocast(media.device.type, torch.bfloat16, enabled=settings.bf16):
                weighted = auxiliary(part) * (len(part) / len(tokens))
            weighted.backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def contrastive_loss(media: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    """Average the cross-entropies media → text and text → media; row i matches row i.

    Args:
        media: (n, dim) unit vectors.
        text: (n, dim) unit vectors.
        scale: Scalar factor of the inner products.
    """
    logits = scale * media @ text.T
    target = torch.arange(len(logits), device=logits.device)
    return (
        functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)
    ) / 2


def _rate(settings: TrainingSettings, step: int) -> float:
    """Return the share of the peak learning rate: linear warm-up, then a cosine to zero."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Group parameters so that only matrices decay; norms, biases and the temperature do not."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
