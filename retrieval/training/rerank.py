"""Trains a small re-ranker on scenes of the demo world.

Three lessons at once, as in ViLBERT (1908.02265): say whether a caption matches a picture, against
pictures that it nearly describes; fill in words that were masked, for which it has to look; and
name what lies at a place of the picture.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.demo.drawing import PICTURE_PIXELS, render_scene
from retrieval.encoders.batching import choose_device
from retrieval.encoders.catalogue import load_encoder
from retrieval.evaluation.ranking import success_at_k
from retrieval.protocols import Encoder
from retrieval.search.cross_modal import CrossModal, CrossModalConfig, FirstStage
from retrieval.search.rerank import TOP
from retrieval.search.tiny_reranker import (
    CONFIG,
    IMAGE_MODEL,
    WEIGHTS,
    TinyReranker,
    write_config,
)
from retrieval.training.files import half, write_tensors
from retrieval.training.rerank_lessons import FAMILIES_AT_ONCE, learn
from retrieval.training.rerank_pairs import (
    CONFUSED,
    MEMBERS,
    draw_families,
    relation_gallery,
)
from retrieval.training.scene_pairs import small_picture

FIRST_STAGE: Final = "tiny-image"
FAMILIES: Final = 4_000
"""Families drawn at most; the training goes over them again."""
STEPS: Final = 400
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
    write_tensors(out / WEIGHTS, half(model.state_dict()))
    reranker = TinyReranker.load(str(out), spec=f"tiny:{out}", device=device)
    report = RerankTrainingReport(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        pairs=steps * FAMILIES_AT_ONCE * MEMBERS * (MEMBERS + CONFUSED),
        families=len(families.candidates),
        wall_minutes=(time.monotonic() - wall) / 60,
        cpu_minutes=(time.process_time() - cpu) / 60,
        relations=score_relations(reranker, encoder, seed, gallery),
        look_alikes=score_relations(reranker, encoder, seed, gallery, look_alikes=True),
    )
    (out / "README.md").write_text(describe(report, config, seed), encoding="utf-8")
    return report


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
    pixels = np.stack([small_picture(render_scene(scene, PICTURE_PIXELS)) for scene in scenes])
    pictures = first_stage.encode_images(pixels)
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


def describe(report: RerankTrainingReport, config: CrossModalConfig, seed: int) -> str:
    """The model card."""
    return f"""# A small re-ranker

A cross-modal re-ranker of {report.parameters / 1e6:.1f} million parameters on top of the bundled
image model, `tiny-image`. It knows the demo world only: coloured, textured shapes.

- Architecture: a caption's words, as `tiny-image` reads them, attend to the places of its
  picture, maps of its ResNet's first three stages trained further, in {config.cross_layers} layers
  of {config.dim} dimensions; a head adds what they find to the first stage's own similarity. In the
  role of ViLBERT (1908.02265); `config.json` has the sizes and the digest of its `tiny-image`.
- Data: {report.pairs:,} pairs from {report.families:,} families of {MEMBERS} look-alikes, each
  beside {CONFUSED} pictures that the bundled image model confuses with it, seed {seed}; no picture
  or word from anywhere else.
- Command: `retrieval train rerank --out DIR`; {report.wall_minutes:.0f} minutes on the clock,
  {report.cpu_minutes:.0f} of processor time in the training process.
- Held-out captions with relations, among the first {TOP} of the bundled image model:
  {report.relations}.
- The same in a gallery where every scene has {MEMBERS - 1} look-alikes:
  {report.look_alikes}.
- Licence: Apache-2.0, as the repository. Weights are float16 safetensors.
"""
