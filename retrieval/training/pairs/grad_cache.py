"""Gradients of a large batch in the memory of a small one: GradCache (2101.06983).

A contrastive loss needs the vectors of the whole batch, but each vector depends on its own pair
only. So all pairs are embedded part by part without a graph, the loss gives its gradient for every
vector, and the parts are embedded again, with a graph, to carry these gradients into the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

Rows = TypeVar("Rows", Tensor, list[str])

Forward = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""(media, tokens) → media vectors (n, dim), text vectors (n, dim), scale."""


def backward_in_parts(
    model: nn.Module,
    forward: Forward,
    loss_of: Callable[[Tensor, Tensor, Tensor], Tensor],
    media: Tensor,
    tokens: Tensor,
    part_pairs: int,
) -> Tensor:
    """Add the gradients of the whole batch's loss to the model's parameters.

    Both passes over a part draw the same random numbers, so dropout drops the same. Batch
    normalisation sees the statistics of a part, not of the batch, and counts each part once.

    Args:
        model: Holds the parameters.
        forward: Calls it, under whatever autocast it wants.
        loss_of: (media vectors, text vectors, scale) in float32 → the batch's loss.
        media: (n, …) inputs of the media tower.
        tokens: (n, …) inputs of the text tower.
        part_pairs: Pairs that go through the model at once.

    Returns:
        The loss, without a graph.
    """
    parts = list(zip(in_parts(media, part_pairs), in_parts(tokens, part_pairs), strict=True))
    states = []
    vectors: list[tuple[Tensor, Tensor]] = []
    with torch.no_grad(), _still_statistics(model):
        for part in parts:
            states.append(random_state(media.device))
            media_vectors, text_vectors, scale = forward(*part)
            vectors.append((media_vectors.float(), text_vectors.float()))
    drawn = random_state(media.device)
    all_media, all_text = (torch.cat(side).requires_grad_() for side in zip(*vectors, strict=True))
    temperature = scale.detach().float().requires_grad_()
    loss = loss_of(all_media, all_text, temperature)
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [
        in_parts(leaf.grad, part_pairs) for leaf in (all_media, all_text) if leaf.grad is not None
    ]
    for number, (part, state) in enumerate(zip(parts, states, strict=True)):
        set_random_state(state, media.device)
        *outputs, scale = forward(*part)
        wanted = [side[number] for side in gradients]
        if number == 0 and temperature.grad is not None:
            outputs.append(scale)
            wanted.append(temperature.grad)
        _carry(outputs, wanted)
    set_random_state(drawn, media.device)
    return loss.detach()


def in_parts(rows: Rows, size: int) -> list[Rows]:
    """Cut a tensor or a list into parts of at most `size` rows."""
    return [rows[first : first + size] for first in range(0, len(rows), size)]


def random_state(device: torch.device) -> list[Tensor]:
    """What the next random numbers depend on: the processor's state, then the GPU's if there is."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return states


def set_random_state(states: list[Tensor], device: torch.device) -> None:
    """Go back to a state that `random_state` gave."""
    torch.set_rng_state(states[0])
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)


def _carry(outputs: list[Tensor], gradients: list[Tensor]) -> None:
    """Propagate given gradients; outputs of a frozen tower have no graph to carry them into."""
    pairs = [
        (output, gradient.to(output.dtype))
        for output, gradient in zip(outputs, gradients, strict=True)
        if output.requires_grad
    ]
    if pairs:
        outputs, gradients = ([pair[side] for pair in pairs] for side in (0, 1))
        torch.autograd.backward(outputs, gradients)


@contextmanager
def _still_statistics(model: nn.Module) -> Iterator[None]:
    """Keep batch normalisations from counting what they see in the pass without a graph."""
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
