"""The two stages of training a re-ranker: detection of objects, then matching of captions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from itertools import islice
from typing import Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import OneCycleLR

from retrieval.demo.captions import SceneCaption
from retrieval.search.reranking.cross_modal import PAD, CrossModal, Detections, Detector, Regions
from retrieval.training.bundled.reranker_pairs import (
    COMPARED,
    MEMBERS,
    STREAM,
    Families,
    compared_rows,
    draw_captions,
)
from retrieval.training.loop import Objective, TrainingRun, train

FAMILIES_PER_BATCH: Final = 20

DETECTION_RATE: Final = 4e-3
MATCHING_RATE: Final = 3e-3
"""The peak learning rates."""

SHORT_CAPTION_SHARE: Final = 0.4
"""Share of the matching steps, at the beginning, that use short captions."""

MAX_SHIFT_PIXELS: Final = 6
"""Largest shift of pictures, in x and in y, during detection."""

_DETECTION_BATCH: Final = 128

Rows = NDArray[np.int64]
Batch = TypeVar("Batch")


def train_detection(model: CrossModal, families: Families, seed: int, run: TrainingRun) -> None:
    """Train the detector in place: positions and properties of objects, and backgrounds.

    Args:
        model: On the device to train on.
        families: The training data.
        seed: Determines the order and the shifts of pictures.
        run: Receives the losses; a batch has FAMILIES_PER_BATCH families.

    Raises:
        ValueError: The loss is not finite.
    """
    device = model.centre.device

    def batches() -> Iterator[tuple[Rows, Rows]]:
        rng = np.random.default_rng([STREAM, seed, 2**31])
        for rows in _draw_rows(families, rng):
            yield rows, rng.integers(-MAX_SHIFT_PIXELS, MAX_SHIFT_PIXELS, 2, endpoint=True)

    def loss(batch: tuple[Rows, Rows]) -> Tensor:
        rows, shift = batch
        x, y = shift.tolist()
        shifted = _shift_pictures(torch.from_numpy(families.pixels[rows]), x, y)
        things = torch.from_numpy(families.things[rows]).to(device)
        things[..., :2] += torch.tensor([x, y], device=device) / shifted.shape[1]
        with torch.autocast(device.type, torch.bfloat16):
            sight = model.eyes(shifted.to(device))
        backdrops = torch.from_numpy(families.backdrops[rows]).to(device)
        return detection_loss(model.eyes, sight, things, backdrops)

    _train_stage(model.eyes, batches(), loss, DETECTION_RATE, run)


def train_matching(
    model: CrossModal,
    tokenize: Callable[[list[str]], Tensor],
    families: Families,
    seed: int,
    run: TrainingRun,
) -> None:
    """Train the rest of the model in place, on detected objects: which caption describes what.

    Args:
        model: On the device to train on; its detector is frozen.
        tokenize: Captions → (n, length) token ids.
        families: The training data.
        seed: Determines the order and the captions.
        run: Receives the losses; a batch has FAMILIES_PER_BATCH families.

    Raises:
        ValueError: The loss is not finite.
    """
    device = model.centre.device
    model.eval()
    detected = _detect(model, families, device)
    model.eyes.requires_grad_(False)

    def batches() -> Iterator[tuple[Rows, list[SceneCaption]]]:
        rng = np.random.default_rng([STREAM, seed, 2**31 + 1])
        for step, rows in enumerate(_draw_rows(families, rng)):
            few_words = step < SHORT_CAPTION_SHARE * run.steps
            scenes = [families.scenes[row] for row in rows]
            yield rows, draw_captions(scenes, rng, few_words=few_words)

    def loss(batch: tuple[Rows, list[SceneCaption]]) -> Tensor:
        rows, captions = batch
        compared = compared_rows(len(rows))
        truth = torch.tensor(
            [
                [caption.describes(families.scenes[rows[other]]) for other in others]
                for caption, others in zip(captions, compared.tolist(), strict=True)
            ]
        )
        tokens = tokenize([caption.text for caption in captions]).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            words = model.read(tokens).repeat_interleave(COMPARED, dim=0)
            real = (tokens != PAD).repeat_interleave(COMPARED, dim=0)
            regions = model.relate(detected[torch.from_numpy(rows).to(device)])
            logits = model(words, real, regions[torch.from_numpy(compared.ravel()).to(device)])
        return matching_loss(logits.view(compared.shape), truth.to(device))

    _train_stage(model, batches(), loss, MATCHING_RATE, run)
    model.eyes.requires_grad_(True)


def detection_loss(eyes: Detector, sight: Detections, things: Tensor, backdrops: Tensor) -> Tensor:
    """Compute the loss of detected objects, around their centres, and of backgrounds.

    Args:
        eyes: The detector.
        sight: The outputs of the detector.
        things: (n, most, 6) float32; see `Families`.
        backdrops: (n,) int64.
    """
    grid = sight.centre.shape[-1]
    pictures, numbers = (things[..., 2] >= 0).nonzero(as_tuple=True)
    objects = things[pictures, numbers]
    centre = objects[:, :2] * grid
    column, row = centre.long().clamp(0, grid - 1).unbind(dim=1)
    target = torch.zeros_like(sight.centre)
    target[pictures, row, column] = 1
    detected = functional.binary_cross_entropy_with_logits(sight.centre, target, reduction="sum")
    # The cells around a centre are trained too, because the highest score may be in one of them.
    steps = torch.cartesian_prod(*[torch.arange(-1, 2, device=things.device)] * 2)
    columns = (column[:, None] + steps[:, 0]).clamp(0, grid - 1).flatten()
    rows = (row[:, None] + steps[:, 1]).clamp(0, grid - 1).flatten()
    cells = pictures.repeat_interleave(len(steps))
    offset = centre.repeat_interleave(len(steps), dim=0) - torch.stack([columns, rows], 1) - 0.5
    parts = [functional.smooth_l1_loss(sight.offset[cells, :, rows, columns], offset)]
    named = sight.names[cells, :, rows, columns].split_with_sizes(eyes.group_sizes, dim=1)
    targets = objects[:, 2:].long().repeat_interleave(len(steps), dim=0).unbind(dim=1)
    parts += [functional.cross_entropy(n, t) for n, t in zip(named, targets, strict=True)]
    parts.append(functional.cross_entropy(sight.backdrop, backdrops))
    return detected / len(objects) + torch.stack(parts).sum()


def matching_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Add the loss of every pair and the loss of ranking a caption's own picture first.

    Args:
        logits: (captions, COMPARED); a caption's own picture is the first.
        truth: The same shape, bool.
    """
    pairs = functional.binary_cross_entropy_with_logits(logits, truth.float())
    # Other pictures that the caption describes are not mistakes.
    others = truth.clone()
    others[:, 0] = False
    rivals = logits.masked_fill(others, -torch.inf)
    first = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    return pairs + functional.cross_entropy(rivals, first)


def _train_stage(
    module: nn.Module,
    batches: Iterator[Batch],
    loss: Callable[[Batch], Tensor],
    rate: float,
    run: TrainingRun,
) -> None:
    """Train the parameters of a module that are not frozen."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, rate, weight_decay=0.05, betas=(0.9, 0.98))
    schedule = partial(
        OneCycleLR, optimizer, rate, run.steps + 1, pct_start=0.1, cycle_momentum=False
    )

    def backward(batch: Batch) -> tuple[Tensor, str]:
        value = loss(batch)
        value.backward()  # type: ignore[no-untyped-call]
        return value, ""

    objective = Objective(module, optimizer, schedule, backward)
    train(run, objective, lambda first: islice(batches, first, None))


def _draw_rows(families: Families, rng: np.random.Generator) -> Iterator[Rows]:
    """Yield endless rows of shuffled families."""
    count = len(families.scenes) // MEMBERS
    size = min(FAMILIES_PER_BATCH, count)
    members = np.arange(MEMBERS)
    while True:
        order = rng.permutation(count)
        for first in range(0, count - size + 1, size):
            yield (order[first : first + size, None] * MEMBERS + members).ravel()


def _shift_pictures(pixels: Tensor, x: int, y: int) -> Tensor:
    """Shift (n, side, side, 3) pictures to the right and down; the edge is repeated."""
    side = pixels.shape[1]
    columns = (torch.arange(side) - x).clamp(0, side - 1)
    rows = (torch.arange(side) - y).clamp(0, side - 1)
    return pixels[:, rows][:, :, columns]


@torch.no_grad()
def _detect(model: CrossModal, families: Families, device: torch.device) -> Regions:
    """Detect the objects of all pictures."""
    parts = []
    for first in range(0, len(families.pixels), _DETECTION_BATCH):
        pixels = torch.from_numpy(families.pixels[first : first + _DETECTION_BATCH]).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            sight = model.eyes(pixels)
        parts.append(model.eyes.regions(sight))
    names = [field.name for field in fields(Regions)]
    return Regions(*(torch.cat([getattr(part, name) for part in parts]) for name in names))
