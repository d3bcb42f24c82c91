"""Trains a small re-ranker on scenes of the demo world.

Two lessons, one after the other, as a detector was trained before ViLBERT (1908.02265) was: first
the eyes learn to name what lies where, which every picture teaches at several places; then the
words learn to look at that, against pictures that a caption nearly describes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.demo.drawing import PICTURE_PIXELS, render_scene
from retrieval.demo.variations import CHANGES
from retrieval.encoders.batching import choose_device
from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.weights import quantize
from retrieval.evaluation.ranking import success_at_k
from retrieval.protocols import Encoder
from retrieval.search.reranking.cross_modal import CrossModal, CrossModalConfig
from retrieval.search.reranking.reranker import RERANK_TOP
from retrieval.search.reranking.tiny import (
    CONFIG,
    TOKENIZER,
    WEIGHTS,
    TinyReranker,
    read_tokenizer,
    tokenize,
    write_config,
)
from retrieval.training.bundled.reranker_pairs import (
    BACKDROPS,
    CANDIDATES,
    MEMBERS,
    NAMES,
    STREAM,
    Families,
    draw_captions,
    draw_families,
    relation_gallery,
)
from retrieval.training.bundled.reranker_stages import (
    FAMILIES_AT_ONCE,
    learn_to_match,
    learn_to_see,
)
from retrieval.training.bundled.scene_pairs import small_picture
from retrieval.training.pairs.tokenizer import train_tokenizer
from retrieval.training.tensors import write_tensors

FIRST_STAGE: Final = "tiny-image"
VOCABULARY: Final = 512
FAMILIES: Final = 8_000
"""Families drawn at most, 1.2 GB; the training goes over them again."""
STEPS: Final = 4_000
GALLERY: Final = 1_000


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
    families: int
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
    """Train the re-ranker and write its folder.

    Args:
        out: Folder to write; made when missing.
        seed: Decides every scene, caption and weight.
        steps: Batches of each of the two lessons, of 20 families; None: 4,000.
        device: `auto`, `cpu` or `cuda`.
        gallery: Scenes that the result is scored on.
        progress: Called with a line now and then.
    """
    say = progress or (lambda line: None)
    wall, cpu = time.monotonic(), time.process_time()
    steps = steps or STEPS
    families = draw_families(min(FAMILIES, steps * FAMILIES_AT_ONCE), seed, say)
    out.mkdir(parents=True, exist_ok=True)
    config = CrossModalConfig(VOCABULARY, NAMES, BACKDROPS)
    write_config(config, out / CONFIG)
    _train_tokenizer(families, config, seed, out)
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)
    model = CrossModal(config).to(memory_format=torch.channels_last).to(choose_device(device))
    learn_to_see(model, families, steps, seed, say)
    read = partial(tokenize, read_tokenizer(out / TOKENIZER, config))
    learn_to_match(model, read, families, steps, seed, say)
    write_tensors(out / WEIGHTS, quantize(model.state_dict()))
    reranker = TinyReranker.load(str(out), spec=f"tiny:{out}", device=device)
    wall_minutes, cpu_minutes = (
        (now - then) / 60 for now, then in ((time.monotonic(), wall), (time.process_time(), cpu))
    )
    encoder = load_encoder(FIRST_STAGE, device=device)
    report = RerankTrainingReport(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        pairs=steps * FAMILIES_AT_ONCE * MEMBERS * CANDIDATES,
        families=len(families.scenes) // MEMBERS,
        wall_minutes=wall_minutes,
        cpu_minutes=cpu_minutes,
        relations=score_relations(reranker, encoder, seed, gallery),
        look_alikes=score_relations(reranker, encoder, seed, gallery, look_alikes=CHANGES),
    )
    (out / "README.md").write_text(describe(report, config, out.name, seed), encoding="utf-8")
    return report


def _train_tokenizer(families: Families, config: CrossModalConfig, seed: int, out: Path) -> None:
    captions = draw_captions(families.scenes[:5_000], np.random.default_rng([STREAM, seed, 2**32]))
    sizes = {"vocabulary": config.vocabulary, "context_length": config.context}
    train_tokenizer((caption.text for caption in captions), out, **sizes)
    (out / "tokenizer_config.json").unlink()


def score_relations(
    reranker: TinyReranker,
    first_stage: Encoder,
    seed: int,
    count: int = GALLERY,
    *,
    look_alikes: Sequence[str] = (),
) -> RelationScore:
    """Ask captions with relations, with and without the re-ranker; see `relation_gallery`."""
    scenes, asked = relation_gallery(count, seed, look_alikes=look_alikes)
    pixels = np.stack([render_scene(scene, PICTURE_PIXELS) for scene in scenes])
    pictures = first_stage.encode_images(np.stack([small_picture(one) for one in pixels]))
    before, after = [], []
    for row, caption in asked:
        scores = pictures @ first_stage.encode_text([caption.text])[0]
        found = np.argsort(-scores, kind="stable")[:RERANK_TOP]
        chances = reranker.probabilities(caption.text, pixels[found])
        again = found[np.argsort(-chances, kind="stable")]
        before.append(_rank(found, row))
        after.append(_rank(again, row))
    return RelationScore(
        len(asked),
        count,
        success_at_k(before, 1),
        success_at_k(after, 1),
        success_at_k(before, RERANK_TOP),
    )


def _rank(found: NDArray[np.int64], row: int) -> int:
    places = np.flatnonzero(found == row)
    return int(places[0]) + 1 if len(places) else RERANK_TOP + 1


def describe(report: RerankTrainingReport, config: CrossModalConfig, name: str, seed: int) -> str:
    """The model card."""
    return f"""# {name}

A cross-modal re-ranker of {report.parameters / 1e6:.2f} million parameters for pictures of
{config.side} × {config.side} pixels. It knows the demo world only: coloured, textured shapes.

- Architecture: eyes, a small convolutional detector without boxes (CenterNet, 1904.07850), find
  what lies where; a caption's words attend to that in {config.looking_layers} layers of
  {config.dim} dimensions, after {config.reading_layers} in which they read each other. In the role
  of ViLBERT (1908.02265); `config.json` has the sizes.
- Data: {report.pairs:,} pairs from {report.families:,} families of {MEMBERS} look-alikes, seed
  {seed}; no picture or word from anywhere else.
- Command: `retrieval train rerank --out DIR`; {report.wall_minutes:.0f} minutes on the clock,
  {report.cpu_minutes:.0f} of processor time in the training process.
- Held-out captions with relations, among the first {RERANK_TOP} of the bundled image model:
  {report.relations}.
- The same in a gallery where every scene has {MEMBERS - 1} look-alikes:
  {report.look_alikes}.
- Licence: Apache-2.0, as the repository. Weights are int8 safetensors, with a scale a row.
"""
