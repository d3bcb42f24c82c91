"""`bench speed embed`: how much longer `embed` takes than the model alone, on photographs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from safetensors.torch import save_model

from benchmarks.report import Result
from benchmarks.speed.harness import in_turns, row, seconds, timed
from benchmarks.speed.photographs import write_photographs
from retrieval.collection import Collection
from retrieval.embed_options import EmbedOptions
from retrieval.encoders.batching import CPU_BATCH
from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.open_clip import OpenClipEncoder
from retrieval.encoders.spaces import decode_plan, make_space
from retrieval.media.files import find_sources
from retrieval.media.pool import decode_all
from retrieval.types import DecodedChunk, Sampling

MEGAPIXELS = (1.0, 12.0)
PHOTOGRAPHS = 300
BATCH = 64
TURNS = 3


@dataclass(frozen=True, slots=True)
class _Subject:
    """A model: its specification, open_clip's name for it, and the goals of its two ratios."""

    title: str
    spec: str
    name: str
    over_bare: float | None = None
    over_both: float | None = None


def run(*, say: Callable[[str], None], folder: Path, scale: float = 1.0) -> list[Result]:
    """Measure ViT-B/32 with random weights, and the bundled model."""
    count = max(4, round(PHOTOGRAPHS * scale))
    write_photographs(folder / "photographs", count, megapixels=MEGAPIXELS, say=say)
    weights = folder / "ViT-B-32.safetensors"
    _write_random_clip(weights)
    tiny = f"local-dir:{files('retrieval') / 'weights' / 'tiny-image'}"
    subjects = (
        _Subject("ViT-B/32", f"open_clip:ViT-B-32/{weights}", "ViT-B-32", over_bare=1.10),
        _Subject("tiny", "tiny-image", tiny, over_both=1.10),
    )
    return [result for subject in subjects for result in _measure(folder, subject, count, say)]


def _measure(
    folder: Path, subject: _Subject, count: int, say: Callable[[str], None]
) -> list[Result]:
    encoder = load_encoder(subject.spec, device="cpu")
    assert isinstance(encoder, OpenClipEncoder)
    photographs = folder / "photographs"
    samples = _decode(encoder, photographs)
    pixels = encoder.prepare(samples)
    root = folder / subject.spec.partition(":")[0]
    say(f"{subject.title}, {TURNS} turns: embed, decode, encode")
    taken = in_turns(
        {
            # One photograph costs what every run costs: loading and starting workers.
            "start": lambda turn: _embed_seconds(
                root / f"one-{turn}", subject.spec, photographs / "00000.jpg"
            ),
            "embed": lambda turn: _embed_seconds(root / f"all-{turn}", subject.spec, photographs),
            "decode": timed(lambda: _decode(encoder, photographs)),
            "encode": timed(lambda: _encode(encoder, samples)),
            "bare": lambda turn: _bare_seconds(subject.name, pixels),
        },
        TURNS,
    )
    net = taken["embed"] - taken["start"]
    both = taken["decode"] + taken["encode"]
    task = f"embed {count} photographs of 1–12 megapixels, {subject.title}"
    return [
        row(task, "time ÷ bare model time", net / taken["bare"], subject.over_bare),
        row(task, "time ÷ (decode + encode)", net / both, subject.over_both),
        row(task, "decode alone ÷ bare model time", taken["decode"] / taken["bare"]),
        row(task, "photographs per second", net.per(count)),
        row(task, "seconds to load and start", taken["start"]),
    ]


def _embed_seconds(root: Path, spec: str, source: Path) -> float:
    """Embed into a new collection through the public class."""
    options = EmbedOptions(models=(spec,), device="cpu", batch_samples=BATCH)
    return seconds(lambda: Collection(root, device="cpu").add(source, options=options))


def _decode(encoder: OpenClipEncoder, source: Path) -> NDArray[np.uint8]:
    """Decode and fit every photograph in as many processes as `embed` takes."""
    space = make_space(encoder, sampling=Sampling(), windows=None)
    plan = decode_plan([(space, encoder)], sound_of_videos=False)
    sources = find_sources([str(source)])
    workers = EmbedOptions().workers
    events = decode_all(sources, plan, {}, workers=workers)
    pictures = [event.samples for event in events if isinstance(event, DecodedChunk)]
    return np.concatenate(pictures).astype(np.uint8, copy=False)


def _encode(encoder: OpenClipEncoder, samples: NDArray[np.uint8]) -> None:
    for first in range(0, len(samples), BATCH):
        encoder.encode_images(samples[first : first + BATCH])


@torch.inference_mode()
def _bare_seconds(name: str, pixels: torch.Tensor) -> float:
    """open_clip's model on tensors that are ready, in the same batches, with nothing around it."""
    model: Any = open_clip.create_model(name).eval()

    def all_batches() -> None:
        for first in range(0, len(pixels), CPU_BATCH):
            model.encode_image(pixels[first : first + CPU_BATCH])

    model.encode_image(pixels[:CPU_BATCH])  # the first call sets its buffers up
    return seconds(all_batches)


def _write_random_clip(path: Path) -> None:
    torch.manual_seed(0)
    save_model(open_clip.create_model("ViT-B-32"), str(path))
