"""Times `embed` on photographs, compared with the model alone.

If an environment with clip-retrieval exists, it is compared too, with the same weights.
"""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray

from benchmarks.results.outcome import Result
from benchmarks.speed import SUITE
from benchmarks.speed.clip_text_tower import write_random_clip
from benchmarks.speed.harness import Way, in_turns, row, seconds, timed
from benchmarks.speed.photographs import write_photographs
from benchmarks.speed.processes import run_cell
from retrieval.collection import Collection
from retrieval.embedding.options import EmbedOptions
from retrieval.encoders.batching import CPU_BATCH
from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.open_clip import OpenClipEncoder
from retrieval.encoders.spaces import decode_plan, make_space
from retrieval.media.sources.find import find_sources
from retrieval.media.workers.pool import decode_all
from retrieval.types import DecodedChunk, Sampling

logger = logging.getLogger(__name__)

MEGAPIXELS = (1.0, 12.0)
PHOTOGRAPHS = 300
BATCH = 64
TURNS = 3

CLIP_RETRIEVAL = "RETRIEVAL_CLIP_RETRIEVAL_PYTHON"
"""Environment variable with the Python of such an environment (`with_clip_retrieval.py`)."""


@dataclass(frozen=True, slots=True)
class _Model:
    """A model with the goals of its two ratios.

    Attributes:
        spec: Specification of the engine.
        name: Name in open_clip.
        weights: File that other programs load; None if they cannot.
        over_bare: Goal of the time over that of the bare model.
        over_both: Goal of the time over that of decoding plus encoding.
        over_theirs: Goal of the time over that of clip-retrieval.
    """

    title: str
    spec: str
    name: str
    weights: Path | None = None
    over_bare: float | None = None
    over_both: float | None = None
    over_theirs: float | None = None


def run(*, folder: Path, scale: float = 1.0) -> list[Result]:
    """Measure ViT-B/32 with random weights, and the bundled model."""
    count = max(4, round(PHOTOGRAPHS * scale))
    write_photographs(folder / "photographs", count, megapixels=MEGAPIXELS)
    weights = folder / "ViT-B-32.safetensors"
    write_random_clip(weights)
    tiny = f"local-dir:{files('retrieval') / 'weights' / 'tiny-image'}"
    models = (
        _Model(
            "ViT-B/32",
            f"open_clip:ViT-B-32/{weights}",
            "ViT-B-32",
            weights,
            over_bare=1.10,
            over_theirs=0.40,
        ),
        _Model("tiny", "tiny-image", tiny, over_both=1.10),
    )
    return [result for model in models for result in _measure(folder, model, count)]


def _measure(folder: Path, model: _Model, count: int) -> list[Result]:
    encoder = load_encoder(model.spec, device="cpu")
    assert isinstance(encoder, OpenClipEncoder)
    photographs = folder / "photographs"
    samples = _decode(encoder, photographs)
    pixels = encoder.prepare(samples)
    root = folder / model.spec.partition(":")[0]
    logger.info("%s, %d turns: embed, decode, encode", model.title, TURNS)
    times = in_turns(
        {
            # One photograph measures the fixed cost: loading the model and starting workers.
            "start": lambda turn: _embed_seconds(
                root / f"one-{turn}", model.spec, photographs / "00000.jpg"
            ),
            "embed": lambda turn: _embed_seconds(root / f"all-{turn}", model.spec, photographs),
            "decode": timed(lambda: _decode(encoder, photographs)),
            "encode": timed(lambda: _encode(encoder, samples)),
            "bare": lambda turn: _bare_seconds(model.name, pixels),
            **_clip_retrieval(root, model, photographs),
        },
        TURNS,
    )
    net = times["embed"] - times["start"]
    both = times["decode"] + times["encode"]
    task = f"embed {count} photographs of 1–12 megapixels, {model.title}"
    rows = [
        row(task, "time ÷ bare model time", net / times["bare"], model.over_bare),
        row(task, "time ÷ (decode + encode)", net / both, model.over_both),
        row(task, "decode alone ÷ bare model time", times["decode"] / times["bare"]),
        row(task, "photographs per second", net.per(count)),
        row(task, "photographs per second, encoder alone", times["encode"].per(count)),
        row(task, "photographs per second, bare model in float32", times["bare"].per(count)),
        row(task, "seconds to load and start", times["start"]),
    ]
    if model.weights is None:
        return rows
    metric = "time ÷ clip-retrieval's"
    if "theirs" not in times:
        hint = f"{metric} (needs {CLIP_RETRIEVAL}, see with_clip_retrieval.py)"
        return [*rows, Result(SUITE, task, hint, None, model.over_theirs)]
    theirs = times["theirs"] - times["their start"]
    return [
        *rows,
        row(task, metric, net / theirs, model.over_theirs, baseline=theirs.median),
        row(task, "photographs per second, clip-retrieval", theirs.per(count)),
    ]


def _clip_retrieval(root: Path, model: _Model, photographs: Path) -> dict[str, Way]:
    """Time clip-retrieval on all photographs and on one, with the same number of processes."""
    python = os.environ.get(CLIP_RETRIEVAL)
    if python is None or model.weights is None:
        return {}
    single = root / "one"
    single.mkdir(parents=True, exist_ok=True)
    shutil.copy(photographs / "00000.jpg", single)

    def embed(source: Path, name: str) -> Way:
        def way(turn: int) -> float:
            script = Path(__file__).with_name("with_clip_retrieval.py")
            sizes = (str(BATCH), str(EmbedOptions().workers))
            out = root / f"{name}-{turn}"
            arguments = (source, str(model.weights), out, *sizes)
            return float(run_cell(script, *arguments, python=python)["seconds"])

        return way

    return {"their start": embed(single, "theirs-one"), "theirs": embed(photographs, "theirs-all")}


def _embed_seconds(root: Path, spec: str, source: Path) -> float:
    """Time embedding into a new collection through the public class."""
    options = EmbedOptions(models=(spec,), device="cpu", batch_samples=BATCH)
    return seconds(lambda: Collection(root, device="cpu").add(source, options=options))


def _decode(encoder: OpenClipEncoder, source: Path) -> NDArray[np.uint8]:
    """Decode and resize every photograph in as many processes as `embed` uses."""
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
    """Time the model of open_clip on prepared tensors in the same batches."""
    network: Any = open_clip.create_model(name).eval()

    def all_batches() -> None:
        for first in range(0, len(pixels), CPU_BATCH):
            network.encode_image(pixels[first : first + CPU_BATCH])

    network.encode_image(pixels[:CPU_BATCH])  # the first call allocates buffers
    return seconds(all_batches)
