"""Trains a MuLan (2208.12415) on tunes of the demo world; a small one is the bundled model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice, repeat
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
from retrieval.encoders.mulan_sizes import TINY, MulanConfig, ResNetSize
from retrieval.encoders.towers import Mulan
from retrieval.evaluation.ranking import first_relevant_ranks
from retrieval.files.writing import write_text
from retrieval.training.bundled.masked_language import WithMaskedLanguage
from retrieval.training.bundled.workers import draw
from retrieval.training.history import ValidationScore
from retrieval.training.pairs.augmentation import AS_IT_IS, Augmentation, Augmented
from retrieval.training.pairs.contrastive import TrainingSettings, train_contrastive
from retrieval.training.pairs.tokenizer import train_tokenizer
from retrieval.training.run import NOBODY, Telling, TrainingRun, finish
from retrieval.training.tensors import half, write_tensors

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
    """What a training saw and reached, as its card states it.

    `minutes` are those of its steps, on the clock; `unseen` are tunes with combinations that were
    never heard in training.
    """

    parameters: int
    pairs: int
    minutes: float
    held_out: ValidationScore
    unseen: ValidationScore

    def __str__(self) -> str:
        return f"held-out tunes: {self.held_out}; combinations never heard: {self.unseen}"


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
    telling: Telling = NOBODY,
) -> MusicTrainingReport:
    """Train a music-text model from nothing and write its folder; a killed training goes on.

    Args:
        out: Folder to write; made when missing.
        config: Its sizes; the bundled model's unless another is given.
        augmentation: What happens to the pictures beside the changes that are always made.
        batch: Pairs of a batch.
        seed: Decides every tune, caption and weight.
        steps: Batches to train on; None: the bundled model's number.
        device: `auto`, `cpu` or `cuda`.
        masked_language: Weight of a masked-language-model loss beside the contrastive one.
        telling: Who hears of it.

    Raises:
        WeightsFormatError: The folder holds a checkpoint of another training.
        StorageError: The folder cannot be written.
    """
    steps = STEPS if steps is None else steps
    out.mkdir(parents=True, exist_ok=True)
    pictures, captions = make_pairs(min(POOL, steps * batch), seed, telling, config)
    texts = [text for some in captions for text in some]
    tokenizer = write_vocabulary(out, config, texts)
    tokens = tokenize(tokenizer, texts).reshape(len(pictures), CAPTIONS_EACH, -1)
    torch.manual_seed(seed)
    chosen = choose_device(device)
    model = Mulan(config).to(chosen)
    gallery = Gallery(config, tokenizer, HELD_OUT, seed)
    settings = TrainingSettings(steps=steps, seed=seed, warmup_steps=min(200, steps // 5))
    decided_by = {
        **asdict(settings),
        "batch": batch,
        "config": asdict(config),
        "augmentation": asdict(augmentation),
        "masked language": masked_language,
    }
    run = TrainingRun(out, steps, decided_by, telling, lambda step: gallery.score(model, step))
    towers = Augmented(model, augmentation)
    beside = WithMaskedLanguage(towers, model.text, masked_language) if masked_language else None
    telling.say(f"{steps} steps of {batch} pairs on {chosen}")
    train_contrastive(
        beside or towers,
        islice(_batches(pictures, tokens, batch, seed), run.begin(), None),
        settings,
        run.on_step,
        checkpoint=run.checkpoint,
        history=run.history,
        auxiliary=beside.auxiliary if beside else None,
    )
    save_weights(model, out)
    report = MusicTrainingReport(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        pairs=steps * batch,
        minutes=run.history.seconds / 60,
        held_out=run.history.scores[-1],
        unseen=Gallery(config, tokenizer, UNSEEN, seed).score(model, steps),
    )
    write_text(out / "README.md", _card(out.name, config, report, seed))
    finish(run)
    return report


# ---------------------------------------------------------------- data


def make_pairs(
    count: int, seed: int, telling: Telling, config: MulanConfig = TINY
) -> tuple[NDArray[np.float16], list[list[str]]]:
    """Play tunes of the training split, in worker processes.

    Returns:
        (count, mel_bands, frames + SHIFT_FRAMES) float16 log-mel pictures, and captions of each.
    """
    block = 200
    jobs = [(config, seed, first, min(block, count - first)) for first in range(0, count, block)]
    parts: list[NDArray[np.float16]] = []
    captions: list[list[str]] = []
    for pictures, texts in draw(_play_block, jobs):
        parts.append(pictures)
        captions += texts
        telling.progress("play tunes", len(captions), count, "")
    return np.concatenate(parts), captions


def _play_block(
    job: tuple[MulanConfig, int, int, int],
) -> tuple[NDArray[np.float16], list[list[str]]]:
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


class Gallery:
    """Tunes never trained on, one window and one full caption each."""

    def __init__(self, config: MulanConfig, tokenizer: Any, split: int, seed: int) -> None:
        rng = np.random.default_rng([split, seed])
        tunes = [sample_tune(rng, unseen=split == UNSEEN) for _ in range(GALLERY)]
        self._tokens = tokenize(tokenizer, [caption_tune(tune, rng).text for tune in tunes])
        log_mel = config.log_mel()
        sounds = (synthesize(tune, config.window_seconds, config.sample_rate_hz) for tune in tunes)
        self._pictures = torch.cat([log_mel(torch.from_numpy(sound)[None]) for sound in sounds])

    @torch.inference_mode()
    def score(self, model: Mulan, step: int) -> ValidationScore:
        """Ask for each tune among all of them; a model in training is left in training."""
        training = model.training
        model.eval()
        device = next(model.parameters()).device
        parts = torch.split(self._pictures, WINDOWS)
        media = torch.cat([model.audio.embed_spectrograms(part.to(device)) for part in parts])
        scores = (model.text(self._tokens.to(device)) @ media.T).float().cpu().numpy()
        model.train(training)
        ranks = first_relevant_ranks(scores, np.eye(len(scores), dtype=bool))
        return ValidationScore.of_ranks(step, ranks, len(scores))


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
- Command: `retrieval train mulan --out DIR`; {report.minutes:.0f} minutes on the clock, without
  the playing of the tunes; training.svg shows it.
- Held-out tunes, text → music: {report.held_out}.
- Held-out tunes with combinations never heard in training: {report.unseen}.
- Licence: Apache-2.0, as the repository. Weights are float16 safetensors.
"""
