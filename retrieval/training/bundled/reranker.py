"""Training of the bundled re-ranker on scenes of the demo world.

The training has two stages, as ViLBERT (1908.02265) builds on a trained detector. The first stage
trains a detector of objects, which every picture teaches at several positions. The second stage
trains the text side to attend to the objects, against pictures that a caption nearly describes.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from retrieval.files.writing import write_text
from retrieval.progress import Progress, no_progress
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
    COMPARED,
    MEMBERS,
    NAMES,
    STREAM,
    Families,
    draw_captions,
    draw_families,
    relation_gallery,
)
from retrieval.training.bundled.reranker_stages import (
    FAMILIES_PER_BATCH,
    train_detection,
    train_matching,
)
from retrieval.training.bundled.scene_pairs import resize_picture
from retrieval.training.history import join_histories
from retrieval.training.loop import TrainingRun, finish
from retrieval.training.pairs.tokenizer import train_tokenizer
from retrieval.training.tensors import write_tensors

FIRST_STAGE: Final = "tiny-image"
VOCABULARY: Final = 512
MAX_FAMILIES: Final = 8_000
"""Largest number of different families, 1.2 GB; training repeats them."""

TOKENIZER_SCENES: Final = 5_000
STEPS: Final = 4_000
GALLERY_SCENES: Final = 1_000


@dataclass(frozen=True, slots=True)
class RelationScore:
    """Recall of captions with a relation ("left of", "above") in a gallery of held-out scenes.

    `reachable` is the share of the captions whose picture is among the first stage's top 20.
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
    """Data and scores of a training run, as the model card states them."""

    parameters: int
    pairs: int
    families: int
    minutes: float
    relations: RelationScore
    look_alikes: RelationScore

    def __str__(self) -> str:
        return f"held-out scenes: {self.relations}\nfamilies of scenes: {self.look_alikes}"


def train_tiny_rerank(
    out: Path,
    *,
    seed: int = 0,
    steps: int = STEPS,
    device: str = "auto",
    gallery: int = GALLERY_SCENES,
    progress: Progress = no_progress,
) -> RerankTrainingReport:
    """Train the re-ranker and write its folder; a killed run resumes.

    Args:
        out: Folder to write; created when missing.
        seed: Determines scenes, captions and weights.
        steps: Number of batches in each of the two stages.
        device: `auto`, `cpu` or `cuda`.
        gallery: Number of scenes for evaluation.
        progress: Receives the number of pictures and of steps.

    Raises:
        WeightsFormatError: The folder has a checkpoint of another run.
        StorageError: The folder cannot be written.
    """
    families = draw_families(min(MAX_FAMILIES, steps * FAMILIES_PER_BATCH), seed, progress)
    out.mkdir(parents=True, exist_ok=True)
    config = CrossModalConfig(VOCABULARY, NAMES, BACKDROPS)
    write_config(config, out / CONFIG)
    _train_tokenizer(families, config, seed, out)
    torch.manual_seed(seed)
    model = CrossModal(config).to(memory_format=torch.channels_last).to(choose_device(device))
    settings = {"seed": seed, "steps": steps, "families": len(families.scenes) // MEMBERS}
    detection, matching = (
        TrainingRun.in_folder(
            out, steps, {**settings, "stage": stage}, stage=stage, progress=progress
        )
        for stage in (1, 2)
    )
    train_detection(model, families, seed, detection)
    tokenizer = read_tokenizer(out / TOKENIZER, config)
    train_matching(model, partial(tokenize, tokenizer), families, seed, matching)
    write_tensors(out / WEIGHTS, quantize(model.state_dict()))
    reranker = TinyReranker.load(str(out), spec=f"tiny:{out}", device=device)
    encoder = load_encoder(FIRST_STAGE, device=device)
    report = RerankTrainingReport(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        pairs=steps * FAMILIES_PER_BATCH * MEMBERS * COMPARED,
        families=len(families.scenes) // MEMBERS,
        minutes=join_histories([detection.history, matching.history]).seconds / 60,
        relations=score_relations(reranker, encoder, seed, gallery),
        look_alikes=score_relations(reranker, encoder, seed, gallery, look_alikes=CHANGES),
    )
    write_text(out / "README.md", describe(report, config, out.name, seed))
    finish(out, detection, matching)
    return report


def _train_tokenizer(families: Families, config: CrossModalConfig, seed: int, out: Path) -> None:
    rng = np.random.default_rng([STREAM, seed, 2**32])
    captions = draw_captions(families.scenes[:TOKENIZER_SCENES], rng)
    sizes = {"vocabulary": config.vocabulary, "context_length": config.context}
    train_tokenizer((caption.text for caption in captions), out, **sizes)
    (out / "tokenizer_config.json").unlink()


def score_relations(
    reranker: TinyReranker,
    first_stage: Encoder,
    seed: int,
    count: int = GALLERY_SCENES,
    *,
    look_alikes: Sequence[str] = (),
) -> RelationScore:
    """Search captions with relations, with and without the re-ranker; see `relation_gallery`."""
    scenes, queries = relation_gallery(count, seed, look_alikes=look_alikes)
    pixels = np.stack([render_scene(scene, PICTURE_PIXELS) for scene in scenes])
    vectors = first_stage.encode_images(np.stack([resize_picture(picture) for picture in pixels]))
    before, after = [], []
    for row, caption in queries:
        scores = vectors @ first_stage.encode_text([caption.text])[0]
        top = np.argsort(-scores, kind="stable")[:RERANK_TOP]
        probabilities = reranker.probabilities(caption.text, pixels[top])
        reranked = top[np.argsort(-probabilities, kind="stable")]
        before.append(_rank_of(row, top))
        after.append(_rank_of(row, reranked))
    return RelationScore(
        len(queries),
        count,
        success_at_k(before, 1),
        success_at_k(after, 1),
        success_at_k(before, RERANK_TOP),
    )


def _rank_of(row: int, ranking: NDArray[np.int64]) -> int:
    positions = np.flatnonzero(ranking == row)
    return int(positions[0]) + 1 if len(positions) else RERANK_TOP + 1


def describe(report: RerankTrainingReport, config: CrossModalConfig, name: str, seed: int) -> str:
    """Return the model card."""
    return f"""# {name}

A cross-modal re-ranker of {report.parameters / 1e6:.2f} million parameters for pictures of
{config.side} × {config.side} pixels. It is trained on the demo world only: coloured, textured
shapes.

- Architecture: a small convolutional detector without boxes (CenterNet, 1904.07850) finds objects;
  the words of a caption attend to them in {config.looking_layers} layers of {config.dim}
  dimensions, after {config.reading_layers} layers in which words attend to each other. The model
  has the role of ViLBERT (1908.02265); `config.json` has the sizes.
- Data: {report.pairs:,} pairs from {report.families:,} families of {MEMBERS} similar scenes, seed
  {seed}; no picture or word from any other source.
- Training: {report.minutes:.0f} minutes of wall-clock time; training.svg shows it.
- Held-out captions with relations, among the top {RERANK_TOP} of the bundled image model:
  {report.relations}.
- The same in a gallery where every scene has {MEMBERS - 1} similar ones:
  {report.look_alikes}.
- License: Apache-2.0, as the repository. Weights are int8 safetensors with one scale per row.
"""
