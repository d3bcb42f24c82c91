"""Trains a MuLan (2208.12415) on tunes of the demo world; a small one is the bundled model."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retrieval.demo.music import sample_tune, synthesize
from retrieval.demo.music_captions import caption_tune
from retrieval.encoders.batching import choose_device
from retrieval.encoders.mulan import WEIGHTS, read_tokenizer, tokenize, write_config
from retrieval.encoders.mulan_sizes import TINY
from retrieval.encoders.towers import Mulan, MulanConfig, ResNetSize
from retrieval.evaluation.ranking import first_relevant_ranks, success_at_k
from retrieval.training.augmentation import AS_IT_IS, Augmentation, Augmented
from retrieval.training.contrastive import TrainingSettings, train_contrastive
from retrieval.training.files import half, write_tensors
from retrieval.training.masked_language import WithMaskedLanguage
from retrieval.training.tokenizer import train_tokenizer

BATCH = 128
WINDOWS = 32
"""Embedded at once when the result is scored; as many as the encoder takes."""
STEPS = 1_500
POOL = 12_000
CAPTIONS_EACH = 8
GALLERY = 500
SHIFT_FRAMES = 12
"""Windows are cut this many frames longer and begin anywhere within, so that no beat is fixed."""

TRAIN, HELD_OUT, UNSEEN = 0, 1, 2
"""First element of every seed: the splits share no random stream."""


@dataclass(frozen=True, slots=True)
class MusicTrainingReport:
    """What a training run saw and reached, as its card states it."""

    parameters: int
    pairs: int
    wall_minutes: float
    cpu_minutes: float
    recall_at_1: float
    recall_at_10: float
    unseen_recall_at_1: float
    unseen_recall_at_10: float


def train_tiny_music(
    out: Path,
    *,
    config: MulanConfig = TINY,
    augmentation: Augmentation = AS_IT_IS,
    batch: int = BATCH,
    seed: int = 0,
    steps: int | None = None,
    device: str = "auto",
    masked_language: float = 0.0,
    progress: Callable[[str], None] | None = None,
) -> MusicTrainingReport:
    """Train a music-text model from nothing and write its folder.

    Args:
        out: Folder to write; made when missing.
        config: Its sizes; the bundled model's unless another is given.
        augmentation: What happens to the pictures beside the changes that are always made.
        batch: Pairs of a batch.
        seed: Decides every tune, caption and weight.
        steps: Batches to train on; None: the bundled model's number.
        device: `auto`, `cpu` or `cuda`.
        masked_language: Weight of a masked-language-model loss beside the contrastive one.
        progress: Called with a line now and then.
    """
    say = progress or (lambda line: None)
    wall, cpu = time.monotonic(), time.process_time()
    steps = STEPS if steps is None else steps
    out.mkdir(parents=True, exist_ok=True)
    pictures, captions = make_pairs(min(POOL, steps * batch), seed, say, config)
    tokenizer = write_vocabulary(out, config, (text for texts in captions for text in texts))
    tokens = tokenize(tokenizer, [text for texts in captions for text in texts])
    torch.manual_seed(seed)
    model = Mulan(config)
    chosen = choose_device(device)
    model.to(chosen)
    say(f"{steps} steps of {batch} pairs on {chosen}")

    def on_step(step: int, loss: float) -> None:
        if (step + 1) % 50 == 0:
            say(f"step {step + 1}: loss {loss:.3f}, {(time.monotonic() - wall) / 60:.1f} min")
        if (step + 1) % 500 == 0:
            save_weights(model, out)

    settings = TrainingSettings(steps=steps, seed=seed, warmup_steps=min(200, steps // 5))
    batches = _batches(pictures, tokens.reshape(len(pictures), CAPTIONS_EACH, -1), batch, seed)
    towers = Augmented(model, augmentation, seed)
    beside = WithMaskedLanguage(towers, model.text, masked_language) if masked_language else None
    train_contrastive(
        beside or towers, batches, settings, on_step, auxiliary=beside.auxiliary if beside else None
    )
    save_weights(model, out)
    seen, unseen = (_evaluate(model, config, tokenizer, part, seed) for part in (HELD_OUT, UNSEEN))
    report = MusicTrainingReport(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        pairs=steps * batch,
        wall_minutes=(time.monotonic() - wall) / 60,
        cpu_minutes=(time.process_time() - cpu) / 60,
        recall_at_1=seen[0],
        recall_at_10=seen[1],
        unseen_recall_at_1=unseen[0],
        unseen_recall_at_10=unseen[1],
    )
    (out / "README.md").write_text(_card(out.name, config, report, seed))
    return report


# ---------------------------------------------------------------- data


def make_pairs(
    count: int, seed: int, say: Callable[[str], None], config: MulanConfig = TINY
) -> tuple[NDArray[np.float16], list[list[str]]]:
    """Play tunes of the training split, in worker processes.

    Returns:
        (count, mel_bands, frames + SHIFT_FRAMES) float16 log-mel pictures, and captions of each.
    """
    block = 200
    jobs = [(config, seed, first, min(block, count - first)) for first in range(0, count, block)]
    parts: list[NDArray[np.float16]] = []
    captions: list[list[str]] = []
    with multiprocessing.get_context("spawn").Pool() as pool:
        for (_, _, first, size), (pictures, texts) in zip(
            jobs, pool.imap(_play_block, jobs), strict=True
        ):
            parts.append(pictures)
            captions += texts
            if first % 4_000 == 0:
                say(f"{first + size} of {count} tunes played")
    return np.concatenate(parts), captions


def _play_block(
    job: tuple[MulanConfig, int, int, int],
) -> tuple[NDArray[np.float16], list[list[str]]]:
    torch.set_num_threads(1)
    config, seed, first, size = job
    rng = np.random.default_rng([TRAIN, seed, first])
    log_mel = config.log_mel()
    seconds = config.window_seconds + SHIFT_FRAMES * config.hop_samples / config.sample_rate_hz
    pictures = []
    captions = []
    for _ in range(size):
        tune = sample_tune(rng)
        sound = synthesize(tune, seconds, config.sample_rate_hz) * np.float32(rng.uniform(0.3, 1.2))
        pictures.append(log_mel(torch.from_numpy(sound)[None])[0].numpy().astype(np.float16))
        details = (1.0, 1.0, 1.0, *rng.uniform(0.3, 1.0, CAPTIONS_EACH - 3).tolist())
        captions.append([caption_tune(tune, rng, detail=detail).text for detail in details])
    return np.stack(pictures), captions


def _batches(
    pictures: NDArray[np.float16], tokens: Tensor, batch: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless shuffled batches: each time another beginning, loudness, noise and caption."""
    rng = np.random.default_rng([TRAIN, seed, 2**31])
    frames = pictures.shape[2] - SHIFT_FRAMES
    for _ in repeat(None):
        order = rng.permutation(len(pictures))
        for first in range(0, len(order) - batch + 1, batch):
            rows = np.sort(order[first : first + batch])
            shift = int(rng.integers(SHIFT_FRAMES + 1))
            media = torch.from_numpy(pictures[rows, :, shift : shift + frames]).float()
            louder = torch.from_numpy(rng.uniform(-0.2, 0.2, (len(rows), 1, 1)).astype(np.float32))
            text = tokens[rows, torch.from_numpy(rng.integers(tokens.shape[1], size=len(rows)))]
            yield media + louder, text[:, : int((text != 0).sum(1).max())]


# ---------------------------------------------------------------- evaluation and files


@torch.inference_mode()
def _evaluate(
    model: Mulan, config: MulanConfig, tokenizer: Any, split: int, seed: int
) -> tuple[float, float]:
    """R@1 and R@10 of full captions in a gallery of tunes never trained on, one window each."""
    rng = np.random.default_rng([split, seed])
    tunes = [sample_tune(rng, unseen=split == UNSEEN) for _ in range(GALLERY)]
    device = next(model.parameters()).device
    texts = tokenize(tokenizer, [caption_tune(tune, rng).text for tune in tunes])
    audio = []
    for first in range(0, GALLERY, WINDOWS):
        block = tunes[first : first + WINDOWS]
        sounds = [synthesize(tune, config.window_seconds, config.sample_rate_hz) for tune in block]
        audio.append(model.audio(torch.from_numpy(np.stack(sounds)).to(device)))
    scores = (model.text(texts.to(device)) @ torch.cat(audio).T).float().cpu().numpy()
    ranks = first_relevant_ranks(scores, np.eye(GALLERY, dtype=bool))
    return success_at_k(ranks, 1), success_at_k(ranks, 10)


def write_vocabulary(out: Path, config: MulanConfig, captions: Iterable[str]) -> Any:
    """Write config.json and a tokenizer trained on the captions; returns the tokenizer."""
    sizes = {"vocabulary": config.vocabulary, "context_length": config.context_length}
    train_tokenizer(captions, out, **sizes)
    (out / "tokenizer_config.json").unlink()
    write_config(config, out / "config.json")
    return read_tokenizer(out / "tokenizer.json", config)


def save_weights(model: torch.nn.Module, out: Path) -> None:
    """Write model.safetensors, floating point as float16."""
    write_tensors(out / WEIGHTS, half(model.state_dict()))


def _card(name: str, config: MulanConfig, report: MusicTrainingReport, seed: int) -> str:
    tunes = min(POOL, report.pairs)
    tower = "a transformer over patches of the log-mel picture (AST, 2104.01778)"
    if isinstance(config.audio, ResNetSize):
        tower = "a ResNet over the log-mel picture (1512.03385)"
    return f"""# {name}

A MuLan of {report.parameters / 1e6:.1f} million parameters for windows of
{config.window_seconds:g} s at {config.sample_rate_hz / 1_000:g} kHz.
It knows the demo world only: synthesised tunes.

- Architecture: {tower} and a
  BERT-like text transformer into {config.dim} dimensions (MuLan, 2208.12415); `config.json` has
  the sizes.
- Data: {report.pairs:,} pairs drawn from {tunes:,} generated tunes with {CAPTIONS_EACH} captions
  each, seed {seed}; no sound or word from anywhere else.
- Command: `retrieval train mulan --out DIR`; {report.wall_minutes:.0f} minutes on the clock,
  {report.cpu_minutes:.0f} of processor time in the training process.
- Held-out tunes, text → music in a gallery of {GALLERY}:
  R@1 {report.recall_at_1:.1%}, R@10 {report.recall_at_10:.1%}.
- Held-out tunes with combinations never heard in training:
  R@1 {report.unseen_recall_at_1:.1%}, R@10 {report.unseen_recall_at_10:.1%}.
- Licence: Apache-2.0, as the repository. Weights are float16 safetensors.
"""
