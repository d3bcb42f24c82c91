"""Where a Hammer's training data comes from: the demo world, or annotation files with features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.probe_texts import PROBE_TEXTS
from retrieval.encoders.spaces import make_space
from retrieval.protocols import Encoder
from retrieval.training.bundled.demo_moments import SAMPLING, demo_moments
from retrieval.training.moments.annotations import annotated_moments
from retrieval.training.moments.false_alarms import UNRELATED_TEXTS
from retrieval.training.moments.steps import HammerSettings
from retrieval.training.moments.train import (
    FLAT_LEARNING_RATE,
    FLAT_LEVELS,
    LEVELS,
    STEPS,
    HammerReport,
    train_hammer,
)
from retrieval.training.run import NOBODY, Telling
from retrieval.types import Medium, MomentQuery, Sampling

BUNDLED_IMAGES: Final = "tiny-image"
EVENTS, VIDEOS = 10_000, 3_200
HELD_OUT_EVENTS, HELD_OUT_VIDEOS = 400, 100
HELD_OUT_SEED: Final = 1_000_003
ANNOTATED_VOCABULARY: Final = 6_000


def train_demo_hammer(
    out: Path,
    *,
    seed: int = 0,
    steps: int | None = None,
    flat: bool = False,
    model: str = BUNDLED_IMAGES,
    scale: float = 1.0,
    device: str = "auto",
    telling: Telling = NOBODY,
) -> HammerReport:
    """Train a Hammer on generated videos, whose frames are drawn and embedded on the way.

    Args:
        out: Folder to write.
        seed: Decides the videos and the weights.
        steps: Batches to train on; None: as the bundled model.
        flat: Train the ablation: one level over all frames, with as many layers.
        model: The encoder of the frames.
        scale: Share of the full number of events and videos.
        device: `auto`, `cpu` or `cuda`.
        telling: Who hears of it.
    """
    encoder = load_encoder(model, device=device)
    space = make_space(encoder, sampling=SAMPLING, windows=None)

    def counted(number: int) -> int:
        return max(8, round(number * scale))

    data = demo_moments(counted(EVENTS), counted(VIDEOS), encoder, seed=seed, telling=telling)
    held_out = demo_moments(
        counted(HELD_OUT_EVENTS), counted(HELD_OUT_VIDEOS), encoder, seed=HELD_OUT_SEED + seed
    )
    return train_hammer(
        out,
        data,
        held_out,
        space,
        levels=FLAT_LEVELS if flat else LEVELS,
        settings=_settings(steps, flat),
        unrelated=_unrelated(encoder),
        source=f"{len(data.videos):,} generated videos of the demo world",
        seed=seed,
        device=device,
        telling=telling,
    )


def train_annotated_hammer(
    out: Path,
    annotations: Path,
    features: Path,
    *,
    model: str,
    validation: Path | None = None,
    row_seconds: float | None = None,
    seed: int = 0,
    steps: int | None = None,
    flat: bool = False,
    device: str = "auto",
    telling: Telling = NOBODY,
) -> HammerReport:
    """Train a Hammer on annotated videos whose rows were embedded by `model`.

    Args:
        out: Folder to write.
        annotations: A file of TVR, ActivityNet Captions, QVHighlights, Charades-STA or TACoS.
        features: Folder of one .npy or .safetensors a video, named by its id, (rows, dim).
        model: The encoder that made the features; it embeds the queries.
        validation: Annotations for the card's figures; None: a tenth of the videos.
        row_seconds: How long a row lasts; None: a video's rows share its duration evenly.
        seed: Decides the weights.
        steps: Batches to train on.
        flat: Train the ablation.
        device: `auto`, `cpu` or `cuda`.
        telling: Who hears of it.
    """
    encoder = load_encoder(model, device=device)
    rate = Sampling() if row_seconds is None else Sampling(frames_per_second=1 / row_seconds)
    space = make_space(encoder, sampling=rate, windows=None)
    data, held_out = annotated_moments(
        annotations,
        features,
        encoder,
        validation=validation,
        row_seconds=row_seconds,
        say=telling.say,
    )
    return train_hammer(
        out,
        data,
        held_out,
        space,
        # What sees reads frames; what only hears reads its segments of sound.
        medium=Medium.VIDEO if Medium.VIDEO in encoder.media else Medium.AUDIO,
        levels=FLAT_LEVELS if flat else LEVELS,
        settings=_settings(steps, flat),
        unrelated=_unrelated(encoder),
        vocabulary=ANNOTATED_VOCABULARY,
        source=f"{annotations.name} with features of {encoder.spec}",
        seed=seed,
        device=device,
        telling=telling,
    )


def _unrelated(encoder: Encoder) -> list[MomentQuery]:
    texts = PROBE_TEXTS[:UNRELATED_TEXTS]
    vectors = encoder.encode_text(texts)
    return [MomentQuery(row, text) for row, text in zip(vectors, texts, strict=True)]


def _settings(steps: int | None, flat: bool) -> HammerSettings:
    settings = HammerSettings(steps or STEPS)
    return replace(settings, learning_rate=FLAT_LEARNING_RATE) if flat else settings
