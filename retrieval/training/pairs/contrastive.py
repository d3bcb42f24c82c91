"""The contrastive trainer: any two towers, pulled together over the pairs of a batch.

CLIP (2103.00020): symmetric cross-entropy over the batch's similarity matrix with a learned
temperature. MuLan (2208.12415) trains its towers with the same loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from retrieval.training.checkpoint import Checkpoint
from retrieval.training.history import TrainingHistory
from retrieval.training.pairs.grad_cache import backward_in_parts, in_parts

MAX_LOGIT_SCALE = math.log(100.0)
"""The temperature stays above 1/100, as in CLIP; lower ones make training unstable."""


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How long and how fast to train.

    Attributes:
        steps: Batches to train on.
        learning_rate: Peak, reached after `warmup_steps`, followed by a cosine to zero.
        bf16: Mixed precision by autocast; several times faster on CPUs with AMX and on GPUs.
        part_pairs: Pairs that go through the towers at once; None: the whole batch. The loss still
            compares all pairs of the batch (`retrieval.training.pairs.grad_cache`).
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
    batches: Iterator[tuple[Tensor, Tensor]],
    settings: TrainingSettings,
    on_step: Callable[[int, float], None] | None = None,
    *,
    checkpoint: Checkpoint | None = None,
    history: TrainingHistory | None = None,
    auxiliary: Callable[[Tensor], Tensor] | None = None,
) -> list[float]:
    """Train two towers on batches of matching pairs.

    Args:
        model: `forward(media, tokens)` returns unit media vectors (n, dim), unit text vectors
            (n, dim) and the temperature's inverse; its parameter `logit_scale` is its logarithm.
        batches: Pairs (media, tokens), at least `settings.steps` of them; with a checkpoint they
            begin with batch number `checkpoint.steps_done()`.
        settings: How long and how fast.
        on_step: Called with the number of steps done and the last one's loss. What it writes into
            `history` is part of the checkpoint.
        checkpoint: Read before the first step, where its file exists, and written on the way. On a
            CPU a resumed training ends with the weights of an uninterrupted one.
        history: Filled while training; a checkpoint that exists replaces what it holds.
        auxiliary: A further loss of the batch's tokens, added to the contrastive one; what it
            trains belongs to `model`.

    Returns:
        The loss of every step, those before a checkpoint included.

    Raises:
        ValueError: The batches end early, or the loss is no number any more.
        WeightsFormatError: The checkpoint is damaged or of another training.
    """
    torch.manual_seed(settings.seed)
    torch.set_flush_denormal(True)  # vanishing gradients would otherwise slow the processor down
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(
        _parameter_groups(model, settings.weight_decay),
        lr=settings.learning_rate,
        betas=(0.9, 0.98),
    )
    history = TrainingHistory() if history is None else history
    if checkpoint is not None:
        checkpoint.restore(model, optimizer, history)
    model.train()
    for step in range(len(history.losses), settings.steps):
        batch = next(batches, None)
        if batch is None:
            raise ValueError(f"the batches ended after {step} of {settings.steps} steps")
        media, tokens = (tensor.to(device, non_blocking=True) for tensor in batch)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _rate(step, settings)
        optimizer.zero_grad(set_to_none=True)
        loss = _backward(model, media, tokens, settings, auxiliary)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)  # type: ignore[operator]
        history.losses.append(float(loss))
        if not math.isfinite(history.losses[-1]):
            raise ValueError(
                f"the loss is {history.losses[-1]} after {step + 1} steps; "
                f"train with a learning rate below {settings.learning_rate}"
            )
        if on_step is not None:
            on_step(step + 1, history.losses[-1])
        if checkpoint is not None and checkpoint.is_due(step + 1, settings.steps):
            checkpoint.save(model, optimizer, history)
    model.eval()
    return history.losses


def _backward(
    model: nn.Module,
    media: Tensor,
    tokens: Tensor,
    settings: TrainingSettings,
    auxiliary: Callable[[Tensor], Tensor] | None,
) -> Tensor:
    """Add one batch's gradients to the parameters; gives its contrastive loss without a graph."""

    def forward(media: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.autocast(media.device.type, torch.bfloat16, enabled=settings.bf16):
            media_vectors, text_vectors, scale = model(media, tokens)
        return media_vectors, text_vectors, scale

    part_pairs = settings.part_pairs or len(media)
    with attention(media.device):
        if part_pairs < len(media):
            loss = backward_in_parts(model, forward, contrastive_loss, media, tokens, part_pairs)
        else:
            media_vectors, text_vectors, scale = forward(media, tokens)
            loss = contrastive_loss(media_vectors.float(), text_vectors.float(), scale.float())
            loss.backward()  # type: ignore[no-untyped-call]
        if auxiliary is not None:
            for part in in_parts(tokens, part_pairs):
                with torch.autocast(media.device.type, torch.bfloat16, enabled=settings.bf16):
                    share = auxiliary(part) * (len(part) / len(tokens))
                share.backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def contrastive_loss(media: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    """Mean of the two cross-entropies, media → text and text → media; row i matches row i.

    Args:
        media: (n, dim) unit vectors.
        text: (n, dim) unit vectors.
        scale: Scalar that multiplies the inner products.
    """
    logits = scale * media @ text.T
    target = torch.arange(len(logits), device=logits.device)
    return (
        functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)
    ) / 2


def attention(device: torch.device) -> AbstractContextManager[None]:
    """On a CPU plain attention trains these short sequences 1.6 times faster than the fused one."""
    if device.type != "cpu":
        return nullcontext()
    context: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH)
    return context


def _rate(step: int, settings: TrainingSettings) -> float:
    """Share of the peak learning rate: linear warm-up, then a cosine to zero."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Decay matrices only: norms, biases and the temperature are left free."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
