"""What a re-ranker learns: first to see what lies where, then to judge captions by what it sees."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from itertools import islice
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.search.reranking.cross_modal import PAD, CrossModal, Detections, Detector, Regions
from retrieval.training.bundled.reranker_pairs import (
    CANDIDATES,
    MEMBERS,
    STREAM,
    Families,
    candidates,
    draw_captions,
)
from retrieval.training.pairs.contrastive import attention

FAMILIES_AT_ONCE: Final = 20

SEEING_RATE: Final = 4e-3
MATCHING_RATE: Final = 3e-3
"""The peak learning rates."""

FEW_WORDS_FIRST: Final = 0.4
"""Share of the steps of matching that learn words from captions of few of them."""

SHIFT: Final = 6
"""Pixels that pictures are moved at most while the eyes learn."""

_SAY_EVERY: Final = 100

Say = Callable[[str], None]


def learn_to_see(model: CrossModal, families: Families, steps: int, seed: int, say: Say) -> None:
    """Train the eyes in place: where things are, what they look like, what is behind them.

    Args:
        model: On the device to train on.
        families: What to learn from.
        steps: Batches of FAMILIES_AT_ONCE families.
        seed: Decides their order and how pictures are moved.
        say: Called with a line now and then.

    Raises:
        ValueError: The loss is no number any more.
    """
    device = model.centre.device
    rng = np.random.default_rng([STREAM, seed, 2**31])
    model.eyes.train()

    def losses() -> Iterator[Tensor]:
        for rows in _batches(families, rng):
            x, y = (int(step) for step in rng.integers(-SHIFT, SHIFT, 2, endpoint=True))
            moved = _moved(torch.from_numpy(families.pixels[rows]), x, y)
            things = torch.from_numpy(families.things[rows]).to(device)
            things[..., :2] += torch.tensor([x, y], device=device) / moved.shape[1]
            with torch.autocast(device.type, torch.bfloat16):
                sight = model.eyes(moved.to(device))
            backdrops = torch.from_numpy(families.backdrops[rows]).to(device)
            yield seeing_loss(model.eyes, sight, things, backdrops)

    _descend(model.eyes, losses(), steps, SEEING_RATE, "seeing", say)


def learn_to_match(
    model: CrossModal, tokenize: Callable[[list[str]], Tensor], families: Families, steps: int,
    seed: int, say: Say,
) -> None:  # fmt: skip
    """Train the rest in place, on what the eyes see: which caption is true of which picture.

    Args:
        model: On the device to train on; its eyes stay as they are.
        tokenize: (n, length) ids of captions.
        families: What to learn from.
        steps: Batches of FAMILIES_AT_ONCE families.
        seed: Decides their order and the captions.
        say: Called with a line now and then.

    Raises:
        ValueError: The loss is no number any more.
    """
    device = model.centre.device
    rng = np.random.default_rng([STREAM, seed, 2**31 + 1])
    model.eval()
    seen = _survey(model, families, device)
    model.train()
    model.eyes.requires_grad_(False)

    def losses() -> Iterator[Tensor]:
        for step, rows in enumerate(_batches(families, rng)):
            scenes = [families.scenes[row] for row in rows]
            told = draw_captions(scenes, rng, few_words=step < FEW_WORDS_FIRST * steps)
            held = candidates(len(rows))
            truth = torch.tensor(
                [[caption.describes(scenes[other]) for other in others]
                 for caption, others in zip(told, held.tolist(), strict=True)]
            )  # fmt: skip
            tokens = tokenize([caption.text for caption in told]).to(device)
            with torch.autocast(device.type, torch.bfloat16), attention(device):
                words = model.read(tokens).repeat_interleave(CANDIDATES, dim=0)
                real = (tokens != PAD).repeat_interleave(CANDIDATES, dim=0)
                regions = model.relate(seen[torch.from_numpy(rows).to(device)])
                logits = model(words, real, regions[torch.from_numpy(held.ravel()).to(device)])
            yield matching_loss(logits.view(held.shape), truth.to(device))

    _descend(model, losses(), steps, MATCHING_RATE, "matching", say)
    model.eyes.requires_grad_(True)
    model.eval()


def seeing_loss(eyes: Detector, sight: Detections, things: Tensor, backdrops: Tensor) -> Tensor:
    """How wrong the eyes are about things, all around their centres, and about backgrounds.

    Args:
        eyes: What looked.
        sight: What it saw.
        things: (n, most, 6) float32; see `Families`.
        backdrops: (n,) int64.
    """
    grid = sight.centre.shape[-1]
    pictures, numbers = (things[..., 2] >= 0).nonzero(as_tuple=True)
    one = things[pictures, numbers]
    centre = one[:, :2] * grid
    column, row = centre.long().clamp(0, grid - 1).unbind(dim=1)
    wanted = torch.zeros_like(sight.centre)
    wanted[pictures, row, column] = 1
    found = functional.binary_cross_entropy_with_logits(sight.centre, wanted, reduction="sum")
    # Around a centre things are named too: the place that looks most like it may lie beside it.
    steps = torch.cartesian_prod(*[torch.arange(-1, 2, device=things.device)] * 2)
    columns = (column[:, None] + steps[:, 0]).clamp(0, grid - 1).flatten()
    rows = (row[:, None] + steps[:, 1]).clamp(0, grid - 1).flatten()
    each = pictures.repeat_interleave(len(steps))
    offset = centre.repeat_interleave(len(steps), dim=0) - torch.stack([columns, rows], 1) - 0.5
    parts = [functional.smooth_l1_loss(sight.offset[each, :, rows, columns], offset)]
    named = sight.names[each, :, rows, columns].split_with_sizes(eyes.group_sizes, dim=1)
    targets = one[:, 2:].long().repeat_interleave(len(steps), dim=0).unbind(dim=1)
    parts += [functional.cross_entropy(n, t) for n, t in zip(named, targets, strict=True)]
    parts.append(functional.cross_entropy(sight.backdrop, backdrops))
    return found / len(one) + torch.stack(parts).sum()


def matching_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Judge every pair right, and rank a caption's own picture first.

    Args:
        logits: (captions, candidates); a caption's own picture is the first.
        truth: The same shape, bool.
    """
    judged = functional.binary_cross_entropy_with_logits(logits, truth.float())
    # Other pictures that the caption is true of are no mistakes.
    others = truth.clone()
    others[:, 0] = False
    rivals = logits.masked_fill(others, -torch.inf)
    first = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    return judged + functional.cross_entropy(rivals, first)


def _descend(
    module: nn.Module, losses: Iterator[Tensor], steps: int, rate: float, lesson: str, say: Say
) -> None:
    """AdamW with warm-up and decay; the next loss is asked for when the last step is taken."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    options: dict[str, Any] = {"weight_decay": 0.05, "betas": (0.9, 0.98)}
    optimizer = torch.optim.AdamW(trained, rate, **options)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps + 1, pct_start=0.1, cycle_momentum=False
    )
    start, shown = time.monotonic(), []
    for step, loss in enumerate(islice(losses, steps), 1):
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        shown.append(float(loss.detach()))
        if not math.isfinite(shown[-1]):
            raise ValueError(f"the loss is {shown[-1]} after {step} steps; lower the rate {rate}")
        if step % _SAY_EVERY == 0:
            minutes = (time.monotonic() - start) / 60
            say(f"{lesson}, step {step}: loss {np.mean(shown[-_SAY_EVERY:]):.3f}, "
                f"{minutes:.1f} min")  # fmt: skip


def _batches(families: Families, rng: np.random.Generator) -> Iterator[np.ndarray[Any, Any]]:
    """Endless rows of shuffled families."""
    count = len(families.scenes) // MEMBERS
    size = min(FAMILIES_AT_ONCE, count)
    members = np.arange(MEMBERS)
    while True:
        order = rng.permutation(count)
        for first in range(0, count - size + 1, size):
            yield (order[first : first + size, None] * MEMBERS + members).ravel()


def _moved(pixels: Tensor, x: int, y: int) -> Tensor:
    """Move (n, side, side, 3) pictures to the right and down; the edge is drawn out."""
    side = pixels.shape[1]
    columns = (torch.arange(side) - x).clamp(0, side - 1)
    rows = (torch.arange(side) - y).clamp(0, side - 1)
    return pixels[:, rows][:, :, columns]


@torch.no_grad()
def _survey(model: CrossModal, families: Families, device: torch.device) -> Regions:
    """What the eyes see in all pictures."""
    parts = []
    for first in range(0, len(families.pixels), 128):
        pixels = torch.from_numpy(families.pixels[first : first + 128]).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            sight = model.eyes(pixels)
        parts.append(model.eyes.regions(sight))
    return Regions(*(torch.cat([getattr(part, field.name) for part in parts])
                  for field in fields(Regions)))  # fmt: skip
