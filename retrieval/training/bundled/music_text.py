"""Training of a MuLan (2208.12415) on tunes of the demo world; a small one is bundled."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
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
from retrieval.progress import Progress, no_progress
from retrieval.training.bundled.workers import map_jobs
from retrieval.training.history import ValidationScore
from retrieval.training.loop import TrainingRun, finish
from retrieval.training.pairs.augmentation import NO_AUGMENTATION, Augmentation, Augmented
from retrieval.training.pairs.contrastive import TrainingSettings, train_contrastive
from retrieval.training.pairs.masked_language import WithMaskedLanguage
from retrieval.training.pairs.tokenizer import train_tokenizer
from retrieval.training.tensors import half, write_tensors

logger = logging.getLogger(__name__)

VALIDATION_BATCH = 32
"""Windows per batch in validation; the encoder uses the same number."""

STEPS = 1_500
MAX_TUNES = 12_000
TUNES_PER_JOB = 200
CAPTIONS_EACH = 8
GALLERY_TUNES = 500
SHIFT_FRAMES = 12
"""Training windows are longer by this many frames; batches cut them at random positions, so that
the model cannot rely on the position of beats."""

TRAIN, HELD_OUT, UNSEEN = 0, 1, 2
"""First element of every seed; the splits share no random stream."""


@dataclass(frozen=True, slots=True)
class MusicOptions:
    """Options of the training of a music-text model on tunes of the demo world.

    Attributes:
        out: Folder to write; created when missing.
        config: Sizes of the model.
        augmentation: Changes of the pictures, in addition to shift and loudness.
        batch: Pairs per batch.
        seed: Determines tunes, captions and weights.
        steps: Number of batches.
        device: `auto`, `cpu` or `cuda`.
        masked_language: Weight of a masked language model loss.
    """

    out: Path
    config: MulanConfig = TINY
    augmentation: Augmentation = NO_AUGMENTATION
    batch: int = 128
    seed: int = 0
    steps: int = STEPS
    device: str = "auto"
    masked_language: float = 0.0


@dataclass(frozen=True, slots=True)
class MusicTrainingReport:
    """Data and scores of a training run, as the model card states them.

    `minutes` is the wall-clock time of the steps; `unseen` refers to tunes with combinations that
    are not in the training split.
    """

    parameters: int
    pairs: int
    minutes: float
    held_out: ValidationScore
    unseen: ValidationScore

    def __str__(self) -> str:
        return f"held-out tunes: {self.held_out}; unseen combinations: {self.unseen}"


def train_tiny_music(
    options: MusicOptions, progress: Progress = no_progress
) -> MusicTrainingReport:
    """Train the model from random weights and write its folder; a killed run resumes.

    Raises:
        WeightsFormatError: The folder has a checkpoint of another run.
        StorageError: The folder cannot be written.
    """
    out, config, seed, steps = options.out, options.config, options.seed, options.steps
    out.mkdir(parents=True, exist_ok=True)
    pictures, captions = make_pairs(min(MAX_TUNES, steps * options.batch), seed, config, progress)
    texts = [text for tune_captions in captions for text in tune_captions]
    tokenizer = write_vocabulary(out, config, texts)
    tokens = tokenize(tokenizer, texts).reshape(len(pictures), CAPTIONS_EACH, -1)
    torch.manual_seed(seed)
    device = choose_device(options.device)
    model = Mulan(config).to(device)
    held_out = HeldOutTunes(config, tokenizer, HELD_OUT, seed)
    settings = TrainingSettings(steps=steps, seed=seed, warmup_steps=min(200, steps // 5))
    run = TrainingRun.in_folder(
        out,
        steps,
        {
            **asdict(settings),
            "batch": options.batch,
            "config": asdict(config),
            "augmentation": asdict(options.augmentation),
            "masked language": options.masked_language,
        },
        score=lambda step: held_out.score(model, step),
        progress=progress,
    )
    towers = Augmented(model, options.augmentation)
    weight = options.masked_language
    combined = WithMaskedLanguage(towers, model.text, weight) if weight else None
    logger.info(f"{steps} steps of {options.batch} pairs on {device}")
    stream = _draw_batches(pictures, tokens, options.batch, seed)
    train_contrastive(
        combined or towers,
        lambda first: islice(stream, first, None),
        settings,
        run,
        auxiliary=combined.auxiliary if combined else None,
    )
    save_weights(model, out)
    report = MusicTrainingReport(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        pairs=steps * options.batch,
        minutes=run.history.seconds / 60,
        held_out=run.history.scores[-1],
        unseen=HeldOutTunes(config, tokenizer, UNSEEN, seed).score(model, steps),
    )
    write_text(out / "README.md", describe(options, report))
    finish(out, run)
    return report


def make_pairs(
    count: int, seed: int, config: MulanConfig = TINY, progress: Progress = no_progress
) -> tuple[NDArray[np.float16], list[list[str]]]:
    """Synthesize tunes of the training split in worker processes.

    Returns:
        (count, mel_bands, frames + SHIFT_FRAMES) float16 log-mel pictures, and captions of each.
    """
    firsts = range(0, count, TUNES_PER_JOB)
    jobs = [(config, seed, first, min(TUNES_PER_JOB, count - first)) for first in firsts]
    parts: list[NDArray[np.float16]] = []
    captions: list[list[str]] = []
    for pictures, texts in map_jobs(_synthesize_job, jobs):
        parts.append(pictures)
        captions += texts
        progress("synthesizing tunes", len(captions), count)
    return np.concatenate(parts), captions


def _synthesize_job(
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


def _draw_batches(
    pictures: NDArray[np.float16], tokens: Tensor, batch: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield endless shuffled batches with random positions, loudness and captions."""
    rng = np.random.default_rng([TRAIN, seed, 2**31])
    frames = pictures.shape[2] - SHIFT_FRAMES
    while True:
        order = rng.permutation(len(pictures))
        for first in range(0, len(order) - batch + 1, batch):
            rows = np.sort(order[first : first + batch])
            shift = int(rng.integers(SHIFT_FRAMES + 1))
            media = torch.from_numpy(pictures[rows, :, shift : shift + frames]).float()
            gain = torch.from_numpy(rng.uniform(-0.2, 0.2, (len(rows), 1, 1)).astype(np.float32))
            text = tokens[rows, torch.from_numpy(rng.integers(tokens.shape[1], size=len(rows)))]
            yield media + gain, text[:, : int((text != 0).sum(1).max())]


class HeldOutTunes:
    """Tunes outside of the training split, with one window and one full caption each."""

    def __init__(self, config: MulanConfig, tokenizer: Any, split: int, seed: int) -> None:
        rng = np.random.default_rng([split, seed])
        tunes = [sample_tune(rng, unseen=split == UNSEEN) for _ in range(GALLERY_TUNES)]
        self._tokens = tokenize(tokenizer, [caption_tune(tune, rng).text for tune in tunes])
        log_mel = config.log_mel()
        sounds = (synthesize(tune, config.window_seconds, config.sample_rate_hz) for tune in tunes)
        self._pictures = torch.cat([log_mel(torch.from_numpy(sound)[None]) for sound in sounds])

    @torch.inference_mode()
    def score(self, model: Mulan, step: int) -> ValidationScore:
        """Rank all tunes for each caption; the training mode of the model is restored."""
        training = model.training
        model.eval()
        device = next(model.parameters()).device
        parts = torch.split(self._pictures, VALIDATION_BATCH)
        media = torch.cat([model.audio.embed_spectrograms(part.to(device)) for part in parts])
        scores = (model.text(self._tokens.to(device)) @ media.T).float().cpu().numpy()
        model.train(training)
        ranks = first_relevant_ranks(scores, np.eye(len(scores), dtype=bool))
        return ValidationScore.from_ranks(step, ranks, len(scores))


def write_vocabulary(out: Path, config: MulanConfig, captions: Iterable[str]) -> Any:
    """Write config.json and a tokenizer trained on the captions; return the tokenizer."""
    sizes = {"vocabulary": config.vocabulary, "context_length": config.context_length}
    train_tokenizer(captions, out, **sizes)
    (out / "tokenizer_config.json").unlink()
    write_config(config, out / "config.json")
    return read_tokenizer(out / "tokenizer.json", config)


def save_weights(model: torch.nn.Module, out: Path) -> None:
    """Write model.safetensors, floating point as float16."""
    write_tensors(out / WEIGHTS, half(model.state_dict()))


def describe(options: MusicOptions, report: MusicTrainingReport) -> str:
    """Return the model card."""
    config = options.config
    tunes = min(MAX_TUNES, report.pairs)
    tower = "a transformer over patches of the log-mel picture (AST, 2104.01778)"
    if isinstance(config.audio, ResNetSize):
        tower = "a ResNet over the log-mel picture (1512.03385)"
    return f"""# {options.out.name}

A MuLan of {report.parameters / 1e6:.1f} million parameters for windows of
{config.window_seconds:g} s at {config.sample_rate_hz / 1_000:g} kHz.
It is trained on the demo world only: synthesized tunes.

- Architecture: {tower} and a
  BERT-like text transformer into {config.dim} dimensions (MuLan, 2208.12415); `config.json` has
  the sizes.
- Data: {report.pairs:,} pairs from {tunes:,} generated tunes with {CAPTIONS_EACH} captions each,
  seed {options.seed}; no sound or word from any other source.
- Training: {report.minutes:.0f} minutes of wall-clock time, without the synthesis of the tunes;
  training.svg shows it.
- Held-out tunes, text → music: {report.held_out}.
- Held-out tunes with combinations outside of the training data: {report.unseen}.
- License: Apache-2.0, as the repository. Weights are float16 safetensors.
"""
