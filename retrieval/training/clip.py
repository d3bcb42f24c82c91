"""Trains the bundled image-text model on scenes of the demo world.

The result is a folder that open_clip loads like any real CLIP (`local-dir:FOLDER`): configuration,
tokenizer, float16 weights, and a card that says how it came about.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from retrieval.demo.captions import caption_scene
from retrieval.demo.drawing import render_scene
from retrieval.demo.scenes import Motion, sample_scene
from retrieval.evaluation.ranking import first_relevant_ranks, success_at_k
from retrieval.training.contrastive import TrainingSettings, train_contrastive
from retrieval.training.tokenizer import END, PAD, train_tokenizer

SIDE = 64
CONTEXT = 48
VOCABULARY = 1_200
BATCH = 128
STEPS = 1_600
POOL = 100_000
CAPTIONS_EACH = 4
GALLERY = 1_000

TRAIN, HELD_OUT, UNSEEN = 0, 1, 2
"""First element of every seed: the splits share no random stream."""

MODEL: dict[str, Any] = {
    "embed_dim": 256,
    "vision_cfg": {
        "image_size": SIDE,
        "patch_size": 8,
        "width": 192,
        "head_width": 64,
        "layers": 6,
        "pool_type": "avg",
    },
    "text_cfg": {
        "context_length": CONTEXT,
        "vocab_size": VOCABULARY,
        "hf_tokenizer_name": "bundled",  # the name is not used: the files lie beside the weights
        "width": 192,
        "heads": 3,
        "layers": 4,
        "pool_type": "eos",
        "pad_id": PAD,
        "eos_id": END,
    },
}
PREPROCESSING = {
    "size": SIDE,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


@dataclass(frozen=True, slots=True)
class ImageTrainingReport:
    """What a training run saw and reached, as its card states it."""

    parameters: int
    pairs: int
    wall_minutes: float
    cpu_minutes: float
    recall_at_1: float
    recall_at_10: float
    unseen_recall_at_1: float
    unseen_recall_at_10: float


def train_tiny_image(
    out: Path,
    *,
    seed: int = 0,
    steps: int | None = None,
    device: str = "auto",
    progress: Callable[[str], None] | None = None,
) -> ImageTrainingReport:
    """Train the image-text model from nothing and write its folder.

    Args:
        out: Folder to write; made when missing.
        seed: Decides every scene, caption and weight.
        steps: Batches of 128 pairs; None: the bundled model's number.
        device: `auto`, `cpu` or `cuda`.
        progress: Called with a line now and then.
    """
    import open_clip

    say = progress or (lambda line: None)
    wall, cpu = time.monotonic(), time.process_time()
    steps = STEPS if steps is None else steps
    out.mkdir(parents=True, exist_ok=True)
    pixels, captions = make_pairs(min(POOL, steps * BATCH), seed, say)
    train_tokenizer(
        (text for texts in captions[:20_000] for text in texts),
        out, vocabulary=VOCABULARY, context_length=CONTEXT,
    )  # fmt: skip
    config = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESSING}
    (out / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{out}")
    tokens = torch.stack([tokenizer(texts) for texts in captions]).to(torch.int16)
    torch.manual_seed(seed)
    model = open_clip.create_model(f"local-dir:{out}", load_weights=False)
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    model.to(chosen)
    say(f"{steps} steps of {BATCH} pairs on {chosen}")

    def on_step(step: int, loss: float) -> None:
        if (step + 1) % 50 == 0:
            say(f"step {step + 1}: loss {loss:.3f}, {(time.monotonic() - wall) / 60:.1f} min")
        if (step + 1) % 500 == 0:
            _save(model, out)

    settings = TrainingSettings(steps=steps, seed=seed, warmup_steps=min(200, steps // 5))
    train_contrastive(model, _batches(pixels, tokens, seed), settings, on_step)
    _save(model, out)
    seen, unseen = (_evaluate(model, tokenizer, split, seed) for split in (HELD_OUT, UNSEEN))
    report = ImageTrainingReport(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        pairs=steps * BATCH,
        wall_minutes=(time.monotonic() - wall) / 60,
        cpu_minutes=(time.process_time() - cpu) / 60,
        recall_at_1=seen[0],
        recall_at_10=seen[1],
        unseen_recall_at_1=unseen[0],
        unseen_recall_at_10=unseen[1],
    )
    (out / "README.md").write_text(_card(report, seed))
    return report


# ---------------------------------------------------------------- data


def make_pairs(
    count: int, seed: int, say: Callable[[str], None]
) -> tuple[NDArray[np.uint8], list[list[str]]]:
    """Draw scenes of the training split, in worker processes.

    Returns:
        (count, 64, 64, 3) uint8 pictures and, for each, its captions.
    """
    block = 2_000
    jobs = [(seed, first, min(block, count - first)) for first in range(0, count, block)]
    pixels = np.empty((count, SIDE, SIDE, 3), np.uint8)
    captions: list[list[str]] = []
    with multiprocessing.get_context("spawn").Pool() as pool:
        for (_, first, size), (drawn, texts) in zip(
            jobs, pool.imap(_draw_block, jobs), strict=True
        ):
            pixels[first : first + size] = drawn
            captions += texts
            if first % 40_000 == 0:
                say(f"{first + size} of {count} scenes drawn")
    return pixels, captions


def _draw_block(job: tuple[int, int, int]) -> tuple[NDArray[np.uint8], list[list[str]]]:
    seed, first, size = job
    rng = np.random.default_rng([TRAIN, seed, first])
    motions = list(Motion)
    pixels = np.empty((size, SIDE, SIDE, 3), np.uint8)
    captions = []
    for row in range(size):
        scene = sample_scene(rng)
        # Half of the pictures are frames of moving scenes, so that videos hold nothing new.
        moving = rng.random() < 0.5
        motion = motions[int(rng.integers(len(motions)))] if moving else Motion.STILL
        phase = float(rng.random())
        pixels[row] = small_picture(render_scene(scene, 128, motion=motion, phase=phase))
        details = (1.0, 1.0, *rng.uniform(0.3, 1.0, CAPTIONS_EACH - 2).tolist())
        captions.append(
            [caption_scene(scene, rng, motion=motion, detail=detail).text for detail in details]
        )
    return pixels, captions


def small_picture(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduce a square picture to the model's input as its preprocessing does."""
    image = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(image)


def _normalised(pixels: NDArray[np.uint8]) -> Tensor:
    """(n, 64, 64, 3) uint8 → (n, 3, 64, 64) float32 with PREPROCESSING's mean and deviation."""
    scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)
    return scaled.sub_(PREPROCESSING["mean"][0]).div_(PREPROCESSING["std"][0])


def _batches(
    pixels: NDArray[np.uint8], tokens: Tensor, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless shuffled batches: each time another of a picture's captions, light and noise."""
    rng = np.random.default_rng([TRAIN, seed, 2**31])
    for _ in repeat(None):
        order = rng.permutation(len(pixels))
        for first in range(0, len(order) - BATCH + 1, BATCH):
            rows = np.sort(order[first : first + BATCH])
            text = tokens[rows, rng.integers(tokens.shape[1], size=BATCH)].long()
            media = _normalised(pixels[rows])
            light = torch.from_numpy(rng.uniform(0.9, 1.1, (BATCH, 1, 1, 1)).astype(np.float32))
            yield media * light, text


# ---------------------------------------------------------------- evaluation and files


@torch.inference_mode()
def _evaluate(model: Any, tokenizer: Any, split: int, seed: int) -> tuple[float, float]:
    """R@1 and R@10 of full captions in a gallery of distinct scenes never trained on."""
    rng = np.random.default_rng([split, seed])
    scenes = [sample_scene(rng, unseen=split == UNSEEN) for _ in range(GALLERY)]
    device = next(model.parameters()).device
    pixels = np.stack([small_picture(render_scene(scene, 128)) for scene in scenes])
    texts = tokenizer([caption_scene(scene, rng).text for scene in scenes])
    media = [
        model.encode_image(block.to(device), normalize=True)
        for block in _normalised(pixels).split(BATCH)
    ]
    text = [model.encode_text(block.to(device), normalize=True) for block in texts.split(BATCH)]
    scores = (torch.cat(text) @ torch.cat(media).T).float().cpu().numpy()
    ranks = first_relevant_ranks(scores, np.eye(GALLERY, dtype=bool))
    return success_at_k(ranks, 1), success_at_k(ranks, 10)


def _save(model: torch.nn.Module, out: Path) -> None:
    from safetensors.torch import save_file

    weights = {
        name: tensor.detach().to("cpu", torch.float16).contiguous()
        for name, tensor in model.state_dict().items()
    }
    save_file(weights, out / "open_clip_model.safetensors")


def _card(report: ImageTrainingReport, seed: int) -> str:
    scenes = min(POOL, report.pairs)
    return f"""# tiny-image

A CLIP of {report.parameters / 1e6:.1f} million parameters for pictures of {SIDE} × {SIDE} pixels.
It knows the demo world only: a few coloured, textured shapes on simple backgrounds.

- Architecture: a ViT with patches of 8 pixels and a causal text transformer (CLIP, 2103.00020)
  into {MODEL["embed_dim"]} dimensions; `open_clip_config.json` has the sizes.
- Data: {report.pairs:,} pairs drawn from {scenes:,} generated scenes with {CAPTIONS_EACH} captions
  each, seed {seed}; no picture or word from anywhere else.
- Command: `retrieval train clip --out DIR`; {report.wall_minutes:.0f} minutes on the clock,
  {report.cpu_minutes:.0f} of processor time in the training process.
- Held-out scenes, text → image in a gallery of {GALLERY:,}:
  R@1 {report.recall_at_1:.1%}, R@10 {report.recall_at_10:.1%}.
- Held-out scenes with combinations of colour and shape never seen in training:
  R@1 {report.unseen_recall_at_1:.1%}, R@10 {report.unseen_recall_at_10:.1%}.
- Licence: Apache-2.0, as the repository. Weights are float16 safetensors.
"""
