"""What a re-ranker learns: judging matches, filling in masked words, naming what is where."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.search.cross_modal import PAD, CrossModal, FirstStage, Read, Seen
from retrieval.training.contrastive import attention
from retrieval.training.rerank_pairs import CAPTIONS_EACH, MEMBERS, NAMES, STREAM, Families
from retrieval.training.tokenizer import END, START

FAMILIES_AT_ONCE: Final = 20
MASKED: Final = 0.3
"""Share of a caption's words that are masked to be filled in."""

PARTS: Final = ("matching", "filling", "naming")

RATE: Final = 1e-3
"""The peak learning rate."""


class Heads(nn.Module):
    """What is needed for learning only: chances of a word, and of what lies at a place."""

    def __init__(self, dim: int, vocabulary: int) -> None:
        super().__init__()
        self.words = nn.Linear(dim, vocabulary)
        self.names = nn.Linear(dim, sum(NAMES))

    def naming_loss(self, places: Tensor, things: Tensor) -> Tensor:
        """Mean cross-entropy of shape, colour, size and texture of every thing.

        Args:
            places: (pictures, places, dim).
            things: (pictures, most, 5) int64: place, then the four; -1 where there is none.
        """
        things = things.to(places.device)
        pictures, numbers = (things[..., 0] >= 0).nonzero(as_tuple=True)
        at, *names = things[pictures, numbers].unbind(dim=1)
        chances = self.names(places[pictures, at]).float().split(NAMES, dim=1)
        parts = [functional.cross_entropy(c, n) for c, n in zip(chances, names, strict=True)]
        return torch.stack(parts).mean()


@dataclass(frozen=True, slots=True)
class Batch:
    """Families with one caption for each member.

    Attributes:
        pixels: (families, candidates, side, side, 3) uint8.
        tokens: (families, members, context).
        truth: (families, members, candidates) bool; a member's own picture has its number.
        things: (families, candidates, most, 5) int64; see `Families`.
    """

    pixels: Tensor
    tokens: Tensor
    truth: Tensor
    things: Tensor


def learn(
    model: CrossModal,
    stage: FirstStage,
    families: Families,
    steps: int,
    seed: int,
    say: Callable[[str], None],
) -> list[float]:
    """Train in place; returns the loss of every step.

    Args:
        model: On the device to train on.
        stage: Reads pictures and captions for it.
        families: What to learn from.
        steps: Batches.
        seed: Decides their order and what is masked.
        say: Called with a line now and then.

    Raises:
        ValueError: The loss is no number any more.
    """
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)
    device = stage.device
    heads = Heads(model.norm.normalized_shape[0], stage.clip.vocab_size).to(device)
    trained = [*model.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(trained, weight_decay=0.05, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=steps + 1, pct_start=0.1, cycle_momentum=False
    )
    start, losses = time.monotonic(), []
    batches = _batches(families, stage, seed)
    model.train()
    for step in range(1, steps + 1):
        optimizer.zero_grad(set_to_none=True)
        with attention(device):
            with torch.autocast(device.type, torch.bfloat16):
                parts = losses_of(model, heads, stage, next(batches))
            loss = torch.stack(parts).sum()
            loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise ValueError(f"the loss is {losses[-1]} after {step} steps; lower the rate {RATE}")
        if step % 25 == 0:
            minutes = (time.monotonic() - start) / 60
            shown = ", ".join(f"{name} {float(part.detach()):.3f}" for name, part in
                              zip(PARTS, parts, strict=True))  # fmt: skip
            say(f"step {step}: {shown}, {minutes:.1f} min")
    model.eval()
    return losses


def losses_of(
    model: CrossModal, heads: Heads, stage: FirstStage, batch: Batch
) -> tuple[Tensor, Tensor, Tensor]:
    """The losses of telling pictures apart, of filling words in, and of naming what is where."""
    families, members, candidates = batch.truth.shape
    seen = model.survey(stage.see(batch.pixels.flatten(0, 1)))
    tokens = batch.tokens.flatten(0, 1)
    masked, hidden = mask_words(tokens)
    read, masked_read = (model.understand(stage.read(ids)) for ids in (tokens, masked))

    # Every candidate is looked at by all captions of its family …
    def of_candidates(part: Tensor) -> Tensor:
        of_family = part.view(families, 1, members, *part.shape[1:])
        return of_family.expand(-1, candidates, *of_family.shape[2:]).flatten(0, 2)

    def own_of_candidates(part: Tensor) -> Tensor:
        return part.view(families, candidates, *part.shape[1:])[:, :members].flatten(0, 1)

    each = Read(*map(of_candidates, (read.words, read.real, read.vectors)))
    logits: Tensor = model(each, seen, captions=members).view(families, candidates, members)
    matching = matching_loss(logits.transpose(1, 2), batch.truth.to(logits.device))
    # … and every picture by its own caption with words masked.
    own = Seen(own_of_candidates(seen.places), own_of_candidates(seen.vectors))
    looked = model.look(masked_read, own, captions=1)[:, 0]
    hidden = hidden[:, : looked.shape[1]].to(looked.device)
    targets = tokens[:, : looked.shape[1]].to(looked.device)[hidden]
    filled = functional.cross_entropy(heads.words(looked[hidden]).float(), targets)
    return matching, filled, heads.naming_loss(seen.places, batch.things.flatten(0, 1))


def matching_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Judge every pair right, and rank a caption's own picture first.

    Args:
        logits: (families, members, candidates); a member's own picture has its number.
        truth: The same shape, bool.
    """
    judged = functional.binary_cross_entropy_with_logits(logits, truth.float())
    members = logits.shape[1]
    own = torch.eye(members, logits.shape[2], dtype=torch.bool, device=logits.device)
    # Other pictures that the caption is true of are no mistakes.
    rivals = logits.masked_fill(truth & ~own, -torch.inf)
    target = torch.arange(members, device=logits.device).repeat(len(logits))
    return judged + functional.cross_entropy(rivals.flatten(0, 1), target)


def mask_words(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Blank a share of the words, at least one of each caption; returns the captions and where.

    The image model's vocabulary has no mask; its padding, which says nothing, stands for one.
    """
    word = (tokens != PAD) & (tokens != START) & (tokens != END)
    chance = torch.rand(tokens.shape).masked_fill(~word, 2.0)
    hidden = ((chance < MASKED) | (chance == chance.amin(dim=1, keepdim=True))) & word
    return tokens.masked_fill(hidden, PAD), hidden


def _batches(families: Families, stage: FirstStage, seed: int) -> Iterator[Batch]:
    """Endless shuffled batches, each time with another caption of each picture."""
    rng = np.random.default_rng([STREAM, seed, 2**31])
    count = len(families.candidates)
    size = min(FAMILIES_AT_ONCE, count)
    members = np.arange(MEMBERS)
    while True:
        order = rng.permutation(count)
        for first in range(0, count - size + 1, size):
            chosen = order[first : first + size]
            rows = families.candidates[chosen]
            told = rng.integers(CAPTIONS_EACH, size=(size, MEMBERS))
            texts = [
                families.captions[row][caption]
                for row, caption in zip(rows[:, :MEMBERS].flat, told.flat, strict=True)
            ]
            yield Batch(
                torch.from_numpy(families.pixels[rows]),
                stage.tokenizer(texts).unflatten(0, (size, MEMBERS)),
                torch.from_numpy(families.truth[chosen[:, None], members, told]),
                torch.from_numpy(families.things[rows]),
            )
