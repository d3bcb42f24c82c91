"""Gradients of a large batch in the memory of a small one: GradCache (2101.06983).

A contrastive loss needs the vectors of the whole batch, but each vector depends only on its own
pair. A first pass embeds the batch in parts without a graph, and the loss gives the gradient of
every vector. A second pass embeds the parts with a graph and propagates these gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from retrieval.training.tensors import random_state, set_random_state

Rows = TypeVar("Rows", Tensor, list[str])

Forward = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""(media, tokens) → media vectors (n, dim), text vectors (n, dim), scale."""


def backward_in_parts(
    model: nn.Module,
    forward: Forward,
    loss_function: Callable[[Tensor, Tensor, Tensor], Tensor],
    media: Tensor,
    tokens: Tensor,
    part_pairs: int,
) -> Tensor:
    """Add the gradients of the whole batch's loss to the parameters of a model.

    Both passes over a part draw the same random numbers, so dropout is the same. Batch
    normalization uses the statistics of a part, not of the batch, and counts each part once.

    Args:
        model: The module that owns the parameters.
        forward: Calls the model, under autocast if needed.
        loss_function: (media vectors, text vectors, scale) in float32 → loss of the batch.
        media: (n, …) inputs of the media tower.
        tokens: (n, …) inputs of the text tower.
        part_pairs: Pairs that pass the model at once.

    Returns:
        The loss, without a graph.
    """
    parts = list(zip(split_rows(media, part_pairs), split_rows(tokens, part_pairs), strict=True))
    states = []
    vectors: list[tuple[Tensor, Tensor]] = []
    with torch.no_grad(), _batch_norm_without_updates(model):
        for part in parts:
            states.append(random_state(media.device))
            media_vectors, text_vectors, scale = forward(*part)
            vectors.append((media_vectors.float(), text_vectors.float()))
    final_state = random_state(media.device)
    all_media, all_text = (torch.cat(side).requires_grad_() for side in zip(*vectors, strict=True))
    all_scale = scale.detach().float().requires_grad_()
    loss = loss_function(all_media, all_text, all_scale)
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [
        split_rows(leaf.grad, part_pairs) for leaf in (all_media, all_text) if leaf.grad is not None
    ]
    for number, (part, state) in enumerate(zip(parts, states, strict=True)):
        set_random_state(state, media.device)
        *outputs, scale = forward(*part)
        output_gradients = [side[number] for side in gradients]
        if number == 0 and all_scale.grad is not None:
            outputs.append(scale)
            output_gradients.append(all_scale.grad)
        _propagate(outputs, output_gradients)
    set_random_state(final_state, media.device)
    return loss.detach()


def split_rows(rows: Rows, size: int) -> list[Rows]:
    """Split a tensor or a list into parts of at most `size` rows."""
    return [rows[first : first + size] for first in range(0, len(rows), size)]


def _propagate(outputs: list[Tensor], gradients: list[Tensor]) -> None:
    """Propagate gradients from outputs; outputs of a frozen tower have no graph."""
    pairs = [
        (output, gradient.to(output.dtype))
        for output, gradient in zip(outputs, gradients, strict=True)
        if output.requires_grad
    ]
    if pairs:
        outputs, gradients = ([pair[side] for pair in pairs] for side in (0, 1))
        torch.autograd.backward(outputs, gradients)


@contextmanager
def _batch_norm_without_updates(model: nn.Module) -> Iterator[None]:
    """Keep the running statistics of batch normalization during the pass without a graph."""
    norms = [part for part in model.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    counts = [norm.num_batches_tracked for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, count in zip(norms, momenta, counts, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
