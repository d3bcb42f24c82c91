"""`bench speed embed`: how much longer `embed` takes than the model alone, on photographs.

And than clip-retrieval, with the same weights, where there is an environment with it.
"""

from __future__ import annotations

import os
import shutil
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

from benchmarks.results.tables import Result
from benchmarks.speed import SUITE
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

MEGAPIXELS = (1.0, 12.0)
PHOTOGRAPHS = 300
BATCH = 64
TURNS = 3

CLIP_RETRIEVAL = "RETRIEVAL_CLIP_RETRIEVAL_PYTHON"
"""Environment variable: the Python of an environment with it (`with_clip_retrieval.py`)."""


@dataclass(frozen=True, slots=True)
class _Subject:
    """A model: its specification, open_clip's name for it, and the goals of its two ratios.

    `weights` is what other programs load it from; None: they do not.
    """

    title: str
    spec: str
    name: str
    weights: Path | None = None
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
        _Subject("ViT-B/32", f"open_clip:ViT-B-32/{weights}", "ViT-B-32", weights, over_bare=1.10),
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
            **_clip_retrieval(root, subject, photographs),
        },
        TURNS,
    )
    net = taken["embed"] - taken["start"]
    both = taken["decode"] + taken["encode"]
    task = f"embed {count} photographs of 1–12 megapixels, {subject.title}"
    rows = [
        row(task, "time ÷ bare model time", net / taken["bare"], subject.over_bare),
        row(task, "time ÷ (decode + encode)", net / both, subject.over_both),
        row(task, "decode alone ÷ bare model time", taken["decode"] / taken["bare"]),
        row(task, "photographs per second", net.per(count)),
        row(task, "seconds to load and start", taken["start"]),
    ]
    if subject.weights is None:
        return rows
    metric = "time ÷ clip-retrieval's"
    if "theirs" not in taken:
        hint = f"{metric} (needs {CLIP_RETRIEVAL}, see with_clip_retrieval.py)"
        return [*rows, Result(SUITE, task, hint, None)]
    theirs = taken["theirs"] - taken["their start"]
    return [*rows, row(task, metric, net / theirs, baseline=theirs.median)]


def _clip_retrieval(root: Path, subject: _Subject, photographs: Path) -> dict[str, Way]:
    """Of all photographs and of one, by clip-retrieval, with as many processes; or nothing."""
    python = os.environ.get(CLIP_RETRIEVAL)
    if python is None or subject.weights is None:
        return {}
    one = root / "one"
    one.mkdir(parents=True, exist_ok=True)
    shutil.copy(photographs / "00000.jpg", one)

    def embed(source: Path, name: str) -> Way:
        def taken(turn: int) -> float:
            script = Path(__file__).with_name("with_clip_retrieval.py")
            sizes = (str(BATCH), str(EmbedOptions().workers))
            out = root / f"{name}-{turn}"
            more = (source, str(subject.weights), out, *sizes)
            return float(run_cell(script, *more, python=python)["seconds"])

        return taken

    return {"their start": embed(one, "theirs-one"), "theirs": embed(photographs, "theirs-all")}


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
