"""Trains a small re-ranker on scenes of the demo world.

Three lessons at once, as in ViLBERT (1908.02265): say whether a caption matches a picture, against
pictures that it nearly describes; fill in words that were masked, for which it has to look; and
name what lies at a place of the picture.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from retrieval.demo.drawing import render_scene
from retrieval.encoders.batching import choose_device
from retrieval.encoders.catalogue import load_encoder
from retrieval.evaluation.ranking import success_at_k
from retrieval.protocols import Encoder
from retrieval.search.cross_modal import PAD, CrossModal, CrossModalConfig, FirstStage, Read, Seen
from retrieval.search.rerank import TOP
from retrieval.search.tiny_reranker import (
    CONFIG,
    IMAGE_MODEL,
    WEIGHTS,
    TinyReranker,
    write_config,
)
from retrieval.training.rerank_pairs import (
    CAPTIONS_EACH,
    CONFUSED,
    DRAWN_SIDE,
    MEMBERS,
    NAMES,
    STREAM,
    Families,
    draw_families,
    embed_pictures,
    relation_gallery,
)
from retrieval.training.scene_pairs import small_picture
from retrieval.training.tokenizer import END, START

FIRST_STAGE: Final = "tiny-image"
FAMILIES: Final = 4_000
STEPS: Final = 400
FAMILIES_AT_ONCE: Final = 20
GALLERY: Final = 1_000
MASKED: Final = 0.3
"""Share of a caption's words that are masked to be filled in."""

PARTS: Final = ("matching", "filling", "naming")

RATE: Final = 1e-3
"""The peak learning rate."""


@dataclass(frozen=True, slots=True)
class RelationScore:
    """Captions with a relation ("left of", "above") against a gallery of held-out scenes.

    `reachable` is the share of them whose picture is among the first stage's first 20.
    """

    captions: int
    scenes: int
    first_stage: float
    reranked: float
    reachable: float

    def __str__(self) -> str:
        return (
            f"R@1 {self.reranked:.1%} after re-ranking, {self.first_stage:.1%} before, "
            f"{self.reachable:.1%} reachable ({self.captions} captions, {self.scenes:,} scenes)"
        )


@dataclass(frozen=True, slots=True)
class RerankTrainingReport:
    """What a training run saw and reached, as its card states it."""

    parameters: int
    pairs: int
    wall_minutes: float
    cpu_minutes: float
    relations: RelationScore
    look_alikes: RelationScore


def train_tiny_rerank(
    out: Path,
    *,
    seed: int = 0,
    steps: int | None = None,
    device: str = "auto",
    gallery: int = GALLERY,
    progress: Callable[[str], None] | None = None,
) -> RerankTrainingReport:
    """Train the re-ranker on what the bundled image model sees and reads, and write its folder.

    Args:
        out: Folder to write; made when missing.
        seed: Decides every scene, caption and weight.
        steps: Batches of 20 families; None: 400.
        device: `auto`, `cpu` or `cuda`.
        gallery: Scenes that the result is scored on.
        progress: Called with a line now and then.
    """
    say = progress or (lambda line: None)
    wall, cpu = time.monotonic(), time.process_time()
    steps = steps or STEPS
    encoder = load_encoder(FIRST_STAGE, device=device)
    families = draw_families(min(FAMILIES, steps * FAMILIES_AT_ONCE), seed, encoder, say)
    stage = FirstStage(IMAGE_MODEL, choose_device(device))
    config = CrossModalConfig(stage.digest)
    torch.manual_seed(seed)
    model = CrossModal(config, stage).to(memory_format=torch.channels_last).to(stage.device)
    learn(model, stage, families, steps, seed, say)
    out.mkdir(parents=True, exist_ok=True)
    write_config(config, out / CONFIG)
    _save(model, out / WEIGHTS)
    reranker = TinyReranker.load(str(out), spec=f"tiny:{out}", device=device)
    report = RerankTrainingReport(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        pairs=steps * FAMILIES_AT_ONCE * MEMBERS * (MEMBERS + CONFUSED),
        wall_minutes=(time.monotonic() - wall) / 60,
        cpu_minutes=(time.process_time() - cpu) / 60,
        relations=score_relations(reranker, encoder, seed, gallery),
        look_alikes=score_relations(reranker, encoder, seed, gallery, look_alikes=True),
    )
    (out / "README.md").write_text(describe(report, config, seed), encoding="utf-8")
    return report


# ---------------------------------------------------------------- learning


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
        # On a CPU plain attention trains such short sequences faster than the fused one.
        with sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext():
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


# ---------------------------------------------------------------- scoring and writing


def score_relations(
    reranker: TinyReranker,
    first_stage: Encoder,
    seed: int,
    count: int = GALLERY,
    *,
    look_alikes: bool = False,
) -> RelationScore:
    """Ask captions with relations, with and without the re-ranker; see `relation_gallery`."""
    scenes, asked = relation_gallery(count, seed, look_alikes=look_alikes)
    pixels = np.stack([small_picture(render_scene(scene, DRAWN_SIDE)) for scene in scenes])
    pictures = embed_pictures(first_stage, pixels)
    before, after = [], []
    for row, caption in asked:
        scores = pictures @ first_stage.encode_text([caption.text])[0]
        found = np.argsort(-scores, kind="stable")[:TOP]
        chances = reranker.probabilities(caption.text, pixels[found])
        again = found[np.argsort(-chances, kind="stable")]
        before.append(_rank(found, row))
        after.append(_rank(again, row))
    return RelationScore(
        len(asked),
        count,
        success_at_k(before, 1),
        success_at_k(after, 1),
        success_at_k(before, TOP),
    )


def _rank(found: NDArray[np.int64], row: int) -> int:
    places = np.flatnonzero(found == row)
    return int(places[0]) + 1 if len(places) else TOP + 1


def _save(model: CrossModal, path: Path) -> None:
    """Write the weights as float16."""
    from safetensors.torch import save_file

    weights = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in model.state_dict().items()
    }
    save_file(weights, path)


def describe(report: RerankTrainingReport, config: CrossModalConfig, seed: int) -> str:
    """The model card."""
    return f"""# tiny-rerank

A cross-modal re-ranker of {report.parameters / 1e6:.1f} million parameters on top of the bundled
image model, `tiny-image`. It knows the demo world only: coloured, textured shapes.

- Architecture: a caption's words, as `tiny-image` reads them, attend to the places of its
  picture, maps of its ResNet's first three stages trained further, in {config.cross_layers} layers
  of {config.dim} dimensions; a head adds what they find to the first stage's own similarity. In the
  role of ViLBERT (1908.02265); `config.json` has the sizes and the digest of its `tiny-image`.
- Data: {report.pairs:,} pairs from {FAMILIES:,} families of {MEMBERS} look-alikes, each beside
  {CONFUSED} pictures that the bundled image model confuses with it, seed {seed}; no picture or word
  from anywhere else.
- Command: `retrieval train rerank --out DIR`; {report.wall_minutes:.0f} minutes on the clock,
  {report.cpu_minutes:.0f} of processor time in the training process.
- Held-out captions with relations, among the first {TOP} of the bundled image model:
  {report.relations}.
- The same in a gallery where every scene has {MEMBERS - 1} look-alikes:
  {report.look_alikes}.
- Licence: Apache-2.0, as the repository. Weights are float16 safetensors.
"""
