"""Training of the bundled Hammer on generated videos."""

from __future__ import annotations

from typing import Final

from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.spaces import make_space
from retrieval.progress import Progress, no_progress
from retrieval.training.bundled.demo_moments import SAMPLING, draw_moments
from retrieval.training.moments.false_alarms import unrelated_queries
from retrieval.training.moments.train import (
    HammerDataset,
    HammerOptions,
    HammerReport,
    train_hammer,
)

BUNDLED_IMAGES: Final = "tiny-image"
EVENTS, VIDEOS = 10_000, 3_200
HELD_OUT_EVENTS, HELD_OUT_VIDEOS = 400, 100
HELD_OUT_SEED: Final = 1_000_003


def train_demo_hammer(
    options: HammerOptions,
    *,
    model: str = BUNDLED_IMAGES,
    scale: float = 1.0,
    progress: Progress = no_progress,
) -> HammerReport:
    """Train a Hammer on generated videos, whose frames are drawn and embedded first.

    Args:
        options: Options of the run; the seed also determines the videos.
        model: The encoder of the frames.
        scale: Share of the full number of events and videos.
        progress: Receives the number of events and of steps.
    """
    encoder = load_encoder(model, device=options.device)

    def scaled(number: int) -> int:
        return max(8, round(number * scale))

    seed = options.seed
    training = draw_moments(scaled(EVENTS), scaled(VIDEOS), encoder, seed=seed, progress=progress)
    held_out = draw_moments(
        scaled(HELD_OUT_EVENTS), scaled(HELD_OUT_VIDEOS), encoder, seed=HELD_OUT_SEED + seed
    )
    dataset = HammerDataset(
        training,
        held_out,
        make_space(encoder, sampling=SAMPLING, windows=None),
        unrelated=unrelated_queries(encoder),
        source=f"{len(training.videos):,} generated videos of the demo world",
    )
    return train_hammer(dataset, options, progress)
