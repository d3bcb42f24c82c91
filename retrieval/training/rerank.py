"""Trains the bundled re-ranker on scenes of the demo world, in about ten minutes on two cores.

Two lessons at once, as in ViLBERT (1908.02265): say whether a caption matches a picture, against
pictures that it nearly describes; and fill in words that were masked, for which it has to look.
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
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from retrieval.demo.drawing import render_scene
from retrieval.encoders.catalogue import BUNDLED, load_encoder
from retrieval.evaluation.ranking import success_at_k
from retrieval.protocols import Encoder
from retrieval.search.cross_modal import PAD, START, CrossModal, CrossModalConfig
from retrieval.search.tiny_reranker import (
    CONFIG,
    TOKENIZER,
    WEIGHTS,
    TinyReranker,
    read_tokenizer,
    tokenize,
    write_config,
)
from retrieval.training.rerank_pairs import (
    CAPTIONS_EACH,
    CONFUSED,
    DRAWN_SIDE,
    MEMBERS,
    STREAM,
    Families,
    draw_families,
    embed_pictures,
    relation_gallery,
)
from retrieval.training.scene_pairs import small_picture
from retrieval.training.tokenizer import END, train_tokenizer

FIRST_STAGE: Final = "tiny-image"
FAMILIES: Final = 6_000
STEPS: Final = 900
FAMILIES_AT_ONCE: Final = 16
GALLERY: Final = 1_000
TOP: Final = 20
MASKED: Final = 0.3
"""Share of a caption's words that are masked to be filled in."""

NEW_RATE, LENT_RATE = 1e-3, 3e-4
"""Peak learning rates: of fresh weights, and of those that the image model lends."""


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


def train_tiny_rerank(
    out: Path,
    *,
    seed: int = 0,
    steps: int | None = None,
    device: str = "auto",
    gallery: int = GALLERY,
    progress: Callable[[str], None] | None = None,
) -> RerankTrainingReport:
    """Train the re-ranker and write its folder; the bundled image model lends its first layers.

    Args:
        out: Folder to write; made when missing.
        seed: Decides every scene, caption and weight.
        steps: Batches of 16 families; None: as the bundled model.
        device: `auto`, `cpu` or `cuda`.
        gallery: Scenes that the result is scored on.
        progress: Called with a line now and then.
    """
    say = progress or (lambda line: None)
    wall, cpu = time.monotonic(), time.process_time()
    steps = steps or STEPS
    first_stage = load_encoder(FIRST_STAGE, device=device)
    families = draw_families(min(FAMILIES, steps * FAMILIES_AT_ONCE), seed, first_stage, say)
    config = CrossModalConfig()
    out.mkdir(parents=True, exist_ok=True)
    train_tokenizer(
        (text for texts in families.captions for text in texts),
        out, vocabulary=config.vocabulary, context_length=config.context_length,
    )  # fmt: skip
    write_config(config, out / CONFIG)
    torch.manual_seed(seed)
    model = CrossModal(config)
    borrow_image_tower(model)
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    model.to(chosen, memory_format=torch.channels_last)  # in which convolutions are fastest
    tokenizer = read_tokenizer(out / TOKENIZER, config.context_length)
    texts = [text for of_one in families.captions for text in of_one]
    tokens = tokenize(tokenizer, texts).reshape(len(families.captions), CAPTIONS_EACH, -1)
    learn(model, families, tokens, steps, seed, say)
    _save(model, out / WEIGHTS)
    reranker = TinyReranker.load(str(out), spec=f"tiny:{out}", device=device)
    report = RerankTrainingReport(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        pairs=steps * FAMILIES_AT_ONCE * MEMBERS * (MEMBERS + CONFUSED),
        wall_minutes=(time.monotonic() - wall) / 60,
        cpu_minutes=(time.process_time() - cpu) / 60,
        relations=score_relations(reranker, first_stage, seed, gallery),
    )
    (out / "README.md").write_text(describe(report, config, seed), encoding="utf-8")
    return report


def borrow_image_tower(model: CrossModal) -> None:
    """Start the picture's layers from those of the bundled image model, a ResNet of open_clip.

    Raises:
        ValueError: The bundled model is none, or of other sizes.
    """
    from safetensors.torch import load_file

    folder = Path(__file__).parents[1] / "weights" / FIRST_STAGE
    weights = load_file(folder / "open_clip_model.safetensors")
    resnet = model.pictures.resnet
    lent = {name: weights.get(f"visual.{name}") for name in resnet.state_dict()}
    lacking = [name for name, tensor in lent.items() if tensor is None]
    if FIRST_STAGE not in BUNDLED or lacking:
        raise ValueError(f"{folder} lends no {lacking[0]}; it must be a ResNet with three stages")
    resnet.load_state_dict({name: tensor for name, tensor in lent.items() if tensor is not None})


# ---------------------------------------------------------------- learning


@dataclass(frozen=True, slots=True)
class _Batch:
    """Families with one caption for each member.

    Attributes:
        pixels: (families, candidates, side, side, 3) uint8.
        tokens: (families, members, length).
        truth: (families, members, candidates) bool; a member's own picture has its number.
    """

    pixels: Tensor
    tokens: Tensor
    truth: Tensor


def learn(
    model: CrossModal,
    families: Families,
    tokens: Tensor,
    steps: int,
    seed: int,
    say: Callable[[str], None],
) -> list[float]:
    """Train in place.

    Args:
        model: On the device to train on.
        families: What to learn from.
        tokens: (pictures, CAPTIONS_EACH, length) token ids of their captions.
        steps: Batches.
        seed: Decides their order and what is masked.
        say: Called with a line now and then.

    Returns:
        The loss of every step.

    Raises:
        ValueError: The loss is no number any more.
    """
    device = next(model.parameters()).device
    lent, fresh = _trained(model)
    optimizer = torch.optim.AdamW(
        [{"params": lent}, {"params": fresh}], weight_decay=0.05, betas=(0.9, 0.98)
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        [LENT_RATE, NEW_RATE],
        total_steps=steps + 1,
        pct_start=0.08,
        cycle_momentum=False,
    )
    torch.set_flush_denormal(True)
    torch.manual_seed(seed)
    start, losses = time.monotonic(), []
    batches = _batches(families, tokens, seed)
    for step in range(1, steps + 1):
        batch = next(batches)
        optimizer.zero_grad(set_to_none=True)
        # On a CPU plain attention trains such short sequences faster than the fused one.
        with sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext():
            with torch.autocast(device.type, torch.bfloat16):
                matching, filling = losses_of(model, batch)
            loss = matching + filling
            loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise ValueError(f"the loss is {losses[-1]} after {step} steps; train with lower rates")
        if step % 50 == 0:
            minutes = (time.monotonic() - start) / 60
            say(f"step {step}: matching {float(matching):.3f}, filling {float(filling):.3f}, "
                f"{minutes:.1f} min")  # fmt: skip
    model.eval()
    return losses


def _trained(model: CrossModal) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Lent and fresh parameters; of the lent ones, those nearest to the pixels stay as they are."""
    resnet = model.pictures.resnet
    model.train()
    resnet.eval()  # batch statistics are those of the image model's own training
    resnet.requires_grad_(False)
    for stage in (resnet.layer2, resnet.layer3):
        stage.requires_grad_(True)
    lent = list(resnet.parameters())
    known = set(lent)
    fresh = [parameter for parameter in model.parameters() if parameter not in known]
    return [parameter for parameter in lent if parameter.requires_grad], fresh


def losses_of(model: CrossModal, batch: _Batch) -> tuple[Tensor, Tensor]:
    """The loss of telling pictures apart, and that of filling masked words in."""
    families, members, candidates = batch.truth.shape
    device = next(model.parameters()).device
    tokens = batch.tokens.to(device)
    pixels = batch.pixels.flatten(0, 1).to(device)
    places = model.pictures(model.prepare(pixels)).unflatten(0, (families, candidates))

    flat = tokens.flatten(0, 1)
    masked, hidden = mask_words(flat, model.mask_id)
    words, masked_words = model.read(torch.cat([flat, masked])).chunk(2)
    # Every candidate is looked at by all captions of its family …
    of_family = words.unflatten(0, (families, 1, members)).expand(-1, candidates, -1, -1, -1)
    their_tokens = tokens[:, None].expand(-1, candidates, -1, -1)
    seen = model.look(of_family.flatten(0, 1), their_tokens.flatten(0, 1), places.flatten(0, 1))
    logits = model.logits(seen).view(families, candidates, members).transpose(1, 2).float()
    matching = matching_loss(logits, batch.truth.to(device))
    # … and every picture by its own caption with words masked.
    own = places[:, :members].flatten(0, 1)
    looked = model.look(masked_words[:, None], masked[:, None], own)[:, 0]
    guesses = model.guesses(looked[hidden]).float()
    return matching, functional.cross_entropy(guesses, flat[hidden])


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


def mask_words(tokens: Tensor, mask_id: int) -> tuple[Tensor, Tensor]:
    """Mask a share of the words, at least one of each caption; returns the captions and where."""
    word = (tokens != PAD) & (tokens != START) & (tokens != END)
    chance = torch.rand(tokens.shape, device=tokens.device).masked_fill(~word, 2.0)
    hidden = (chance < MASKED) | (chance == chance.amin(dim=1, keepdim=True)) & word
    return tokens.masked_fill(hidden, mask_id), hidden


def _batches(families: Families, tokens: Tensor, seed: int) -> Iterator[_Batch]:
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
            ids = tokens[rows[:, :MEMBERS], told]
            yield _Batch(
                torch.from_numpy(families.pixels[rows]),
                ids[:, :, : int((ids != PAD).sum(-1).max())],
                torch.from_numpy(families.truth[chosen[:, None], members, told]),
            )


# ---------------------------------------------------------------- scoring and writing


def score_relations(
    reranker: TinyReranker, first_stage: Encoder, seed: int, count: int = GALLERY
) -> RelationScore:
    """Ask captions with relations, with and without the re-ranker."""
    scenes, asked = relation_gallery(count, seed)
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


def _rank(found: np.ndarray, row: int) -> int:
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

A cross-modal re-ranker of {report.parameters / 1e6:.1f} million parameters for pictures of
{config.side} × {config.side} pixels. It knows the demo world only: coloured, textured shapes.

- Architecture: three stages of CLIP's ResNet, whose map of {(config.side // 8) ** 2} places a
  caption's words attend to, after {config.text_layers} layers of their own, in
  {config.cross_layers} layers of cross-attention; a head says whether the two match. In the role of
  ViLBERT (1908.02265); `config.json` has the sizes.
- Data: {report.pairs:,} pairs from {FAMILIES:,} families of {MEMBERS} look-alikes, each beside
  {CONFUSED} pictures that the bundled image model confuses with it, seed {seed}; no picture or word
  from anywhere else. The first layers start from the bundled image model's.
- Command: `retrieval train rerank --out DIR`; {report.wall_minutes:.0f} minutes on the clock,
  {report.cpu_minutes:.0f} of processor time in the training process.
- Held-out captions with relations, among the first {TOP} of the bundled image model:
  {report.relations}.
- Licence: Apache-2.0, as the repository. Weights are float16 safetensors.
"""
