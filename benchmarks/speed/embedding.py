"""Measures `embed` on photographs, compared with the model alone.

If an environment with clip-retrieval exists, it is compared too, with the same weights.

A figure is the difference between all photographs and a third of them, divided by the rest. Loading
the model and starting processes cancel out. Processor time counts all threads and processes, so
that it does not depend on what else the cores do; wall time does.
"""

from __future__ import annotations

import logging
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
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
from benchmarks.speed.harness import Sample, row
from benchmarks.speed.photographs import write_photographs
from benchmarks.speed.processes import command
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
PHOTOGRAPHS = 240
BATCH = 64
TURNS = 4

CLIP_RETRIEVAL = "RETRIEVAL_CLIP_RETRIEVAL_PYTHON"
"""Environment variable with the Python of such an environment (`with_clip_retrieval.py`)."""

_TITLES = {
    "embed": "",
    "decode": ", decoding alone",
    "encode": ", encoder alone",
    "bare": ", bare model in float32",
    "theirs": ", clip-retrieval",
}
"""Ends of the names of metrics, by what is measured."""

Work = Callable[[str, Path], object]
"""Embeds, decodes or encodes the photographs of a folder. Its first argument names the run."""


@dataclass(frozen=True, slots=True)
class _Model:
    """A model with the goals of its ratios of processor time.

    Attributes:
        title: Name in the results.
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


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of further photographs, in order of the turns.

    Attributes:
        processor: Processor time of this process and its children, in all threads.
        wall: Elapsed time.
    """

    processor: Sample
    wall: Sample


def run(*, folder: Path, scale: float = 1.0) -> list[Result]:
    """Measure ViT-B/32 with random weights, and the bundled model."""
    third = max(2, round(PHOTOGRAPHS / 3 * scale))
    photographs = write_photographs(folder / "all", 3 * third, megapixels=MEGAPIXELS)
    (folder / "third").mkdir(exist_ok=True)
    for path in photographs[1::3]:  # of the same sizes on average
        shutil.copy(path, folder / "third")
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
    return [result for model in models for result in _measure(folder, model, third)]


def _measure(folder: Path, model: _Model, third: int) -> list[Result]:
    """Measure one model on the folders `all` and `third` of `folder`."""
    encoder = load_encoder(model.spec, device="cpu")
    assert isinstance(encoder, OpenClipEncoder)
    samples = {name: _decode(encoder, folder / name) for name in ("all", "third")}
    pixels = {name: encoder.prepare(each) for name, each in samples.items()}
    network: Any = open_clip.create_model(model.name).eval()
    root = folder / model.spec.partition(":")[0]
    root.mkdir(exist_ok=True)
    logger.info("%s, %d turns: embed, decode, encode", model.title, TURNS)
    ways: dict[str, Work] = {
        "embed": lambda run, source: _embed(root / run, model.spec, source),
        "decode": lambda run, source: _decode(encoder, source),
        "encode": lambda run, source: _encode(encoder, samples[source.name]),
        "bare": lambda run, source: _bare(network, pixels[source.name]),
    }
    for work in ways.values():
        work("first", folder / "third")  # imports modules, converts weights, allocates buffers
    costs = costs_in_turns(ways | _clip_retrieval(root, model), folder)
    task = f"embed {3 * third} photographs of 1–12 megapixels, {model.title}"
    return [*_comparison(task, model, costs), *_ratios_and_rates(task, model, costs, 2 * third)]


def _comparison(task: str, model: _Model, costs: Mapping[str, Cost]) -> list[Result]:
    """Compare with clip-retrieval; without its environment the row says how to get it."""
    metric = "processor time ÷ clip-retrieval's"
    if model.weights is None:
        return []
    if "theirs" not in costs:
        hint = f"{metric} (needs {CLIP_RETRIEVAL}, see with_clip_retrieval.py)"
        return [Result(SUITE, task, hint, None, model.over_theirs)]
    ours, theirs = costs["embed"], costs["theirs"]
    return [
        row(task, metric, ours.processor / theirs.processor, model.over_theirs),
        row(task, "time ÷ clip-retrieval's", ours.wall / theirs.wall),
    ]


def _ratios_and_rates(
    task: str, model: _Model, costs: Mapping[str, Cost], count: int
) -> list[Result]:
    """Compare with the parts of the work, and report what `count` photographs cost each way."""
    embed, decode, encode, bare = (
        costs[name].processor for name in ("embed", "decode", "encode", "bare")
    )
    over_both = embed / (decode + encode)
    results = [
        row(task, "processor time ÷ bare model's", embed / bare, model.over_bare),
        row(task, "processor time ÷ (decode + encode)'s", over_both, model.over_both),
    ]
    for name, cost in costs.items():
        per_photograph = cost.processor.times(1000 / count)
        results += [
            row(task, f"processor ms per photograph{_TITLES[name]}", per_photograph),
            row(task, f"photographs per second{_TITLES[name]}", cost.wall.per(count)),
        ]
    return results


def costs_in_turns(ways: Mapping[str, Work], folder: Path) -> dict[str, Cost]:
    """Measure each way in turns: on the folders `third` and `all`, and the difference."""
    costs: dict[str, list[NDArray[np.float64]]] = {name: [] for name in ways}
    for turn in range(TURNS):
        for name, work in ways.items():
            few, many = (
                _seconds(partial(work, f"{name}-{source}-{turn}", folder / source))
                for source in ("third", "all")
            )
            costs[name].append(many - few)
    return {
        name: Cost(*(Sample(tuple(map(float, each))) for each in np.transpose(values)))
        for name, values in costs.items()
    }


def _seconds(work: Callable[[], object]) -> NDArray[np.float64]:
    """Return the processor time and the wall time of one call."""
    start = _clocks()
    work()
    return _clocks() - start


def _clocks() -> NDArray[np.float64]:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    processor = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    return np.array([processor, time.perf_counter()])


def _clip_retrieval(root: Path, model: _Model) -> dict[str, Work]:
    """Embed with clip-retrieval, with the same number of processes."""
    python = os.environ.get(CLIP_RETRIEVAL)
    if python is None or model.weights is None:
        return {}

    def embed(run: str, source: Path) -> None:
        script = Path(__file__).with_name("with_clip_retrieval.py")
        sizes = (str(BATCH), str(EmbedOptions().workers))
        arguments = (source, str(model.weights), root / run, *sizes)
        subprocess.run(command(script, arguments, python), stdout=subprocess.DEVNULL, check=True)

    return {"theirs": embed}


def _embed(root: Path, spec: str, source: Path) -> None:
    """Embed into a new collection through the public class."""
    options = EmbedOptions(models=(spec,), device="cpu", batch_samples=BATCH)
    Collection(root, device="cpu").add(source, options=options)


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
def _bare(network: Any, pixels: torch.Tensor) -> None:
    """Run the model of open_clip on prepared tensors in batches of the same size."""
    for first in range(0, len(pixels), CPU_BATCH):
        network.encode_image(pixels[first : first + CPU_BATCH])
