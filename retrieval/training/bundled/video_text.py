"""Trains a video-text model on events of the demo world; a small one is the bundled model.

The image-text model under it stays as it is: it reads every frame and caption once, and training
goes over what it made of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from retrieval.encoders.batching import choose_device
from retrieval.encoders.video_text import WEIGHTS, VideoTextEncoder
from retrieval.encoders.video_towers import VideoTextTowers
from retrieval.encoders.weights import quantize
from retrieval.files.writing import write_text
from retrieval.training.bundled.demo_moments import drawn_families, half_precision
from retrieval.training.bundled.video_pairs import BatchGroups, VideoLessons
from retrieval.training.history import ValidationScore
from retrieval.training.pairs.contrastive import TrainingSettings, train_contrastive
from retrieval.training.pairs.new_model import begin_video
from retrieval.training.run import NOBODY, Telling, TrainingRun, finish
from retrieval.training.tensors import write_tensors

IMAGES: Final = "tiny-image"
EVENTS, ORDERS = 16_000, 14_000
HELD_OUT_EVENTS, HELD_OUT_ORDERS, HELD_OUT_BATCHES = 600, 300, 8
HELD_OUT_SEED: Final = 1_000_003
READ_AT_ONCE: Final = 256


STEPS: Final = 7_000
LEARNING_RATE: Final = 2e-3

GROUPS: Final = BatchGroups(singles=8, families=20, orders=32)
"""Many pairs of both orders: what comes first is learned slowest. Lessons before it that show
motions alone, then orders alone, made it slower still: after 16,000 steps both orders were told
apart in 52 to 57 % of the held-out pairs, where these batches had reached 65 % after 1,200."""


@dataclass(frozen=True, slots=True)
class VideoTrainingReport:
    """What a training saw and reached, as its card states it; `minutes` are those of its steps."""

    parameters: int
    events: int
    captions: int
    pairs: int
    minutes: float
    before: ValidationScore
    after: ValidationScore

    def __str__(self) -> str:
        return f"held-out events, before: {self.before}; after: {self.after}"


def train_tiny_video(
    out: Path,
    *,
    seed: int = 0,
    steps: int | None = None,
    events: int = EVENTS,
    orders: int = ORDERS,
    device: str = "auto",
    telling: Telling = NOBODY,
) -> VideoTrainingReport:
    """Train on top of the bundled image model and write the folder; a killed training goes on.

    Args:
        out: Folder to write; made when missing.
        seed: Decides every event, caption and weight.
        steps: Batches; None: as the model is meant to be trained.
        events: How many to draw, about.
        orders: Pairs of them that are told of in both orders.
        device: `auto`, `cpu` or `cuda`.
        telling: Who hears of it.

    Raises:
        WeightsFormatError: The folder holds a checkpoint of another training.
        StorageError: The folder cannot be written.
    """
    steps = steps or STEPS
    out.mkdir(parents=True, exist_ok=True)
    begin_video(out, IMAGES, seed)
    encoder = VideoTextEncoder.load(str(out), spec=f"video-text:{out}", device=device)
    own = encoder.model.own
    frames = encoder.clip_frames
    drawn = drawn_families(events, encoder.images, seed=seed, telling=telling)
    lessons = VideoLessons(drawn, orders, frames, seed)
    captions = ReadCaptions.read(encoder, lessons.captions, telling)
    few = drawn_families(
        min(events, HELD_OUT_EVENTS), encoder.images, seed=HELD_OUT_SEED + seed, telling=telling
    )
    test = HeldOut(VideoLessons(few, min(orders, HELD_OUT_ORDERS), frames, seed), encoder, telling)
    model = OnVectors(own, captions).to(choose_device(device))
    decided_by = {"seed": seed, "events": events, "orders": orders, "groups": asdict(GROUPS)}
    run = TrainingRun(out, steps, decided_by, telling, partial(test.score, own))
    train_contrastive(
        model,
        _batches(lessons, seed, run.begin()),
        TrainingSettings(steps, LEARNING_RATE, min(100, steps // 5), seed=seed),
        run.on_step,
        checkpoint=run.checkpoint,
        history=run.history,
    )
    write_tensors(out / WEIGHTS, quantize(own.state_dict()))
    report = VideoTrainingReport(
        parameters=sum(parameter.numel() for parameter in own.parameters()),
        events=sum(map(len, drawn)),
        captions=len(lessons.captions),
        pairs=steps * len(next(_batches(lessons, seed, 0))[0]),
        minutes=run.history.seconds / 60,
        before=run.history.scores[0],
        after=run.history.scores[-1],
    )
    write_text(out / "README.md", describe(out.name, encoder, report, seed))
    finish(run)
    return report


@dataclass(frozen=True, slots=True)
class ReadCaptions:
    """Captions as the image-text model has read them: what the words tower goes on from.

    Attributes:
        words: (n, longest, text_width) float16.
        real: (n, longest) bool.
        vectors: (n, dim) float16, of unit length.
    """

    words: Tensor
    real: Tensor
    vectors: Tensor

    @classmethod
    @torch.inference_mode()
    def read(
        cls, encoder: VideoTextEncoder, captions: Sequence[str], telling: Telling
    ) -> ReadCaptions:
        """Read captions in batches."""
        parts = []
        for first in range(0, len(captions), READ_AT_ONCE):
            tokens = encoder.tokenize(captions[first : first + READ_AT_ONCE])
            with half_precision():
                words, real, vectors = (
                    one.cpu() for one in encoder.model.encode_tokens(tokens.to(encoder.device))
                )
            missing = encoder.config.context_length - words.shape[1]
            parts.append(
                (
                    nn.functional.pad(words.half(), (0, 0, 0, missing)),
                    nn.functional.pad(real, (0, missing)),
                    vectors.half(),
                )
            )
            telling.progress("read captions", first + len(tokens), len(captions), "")
        return cls(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def embed(self, own: VideoTextTowers, numbers: Tensor) -> Tensor:
        """(n,) numbers of captions → (n, dim) of unit length."""
        device, numbers = own.logit_scale.device, numbers.cpu()
        real = self.real[numbers]
        longest = int(real.any(dim=0).nonzero().max()) + 1
        words = self.words[numbers][:, :longest].float().to(device)
        vectors = self.vectors[numbers].float().to(device)
        text: Tensor = own.text(words, real[:, :longest].to(device), vectors)
        return text


class OnVectors(nn.Module):
    """A video-text model's own towers over frames and captions that were read before."""

    def __init__(self, own: VideoTextTowers, captions: ReadCaptions) -> None:
        super().__init__()
        self.own = own
        self._captions = captions

    @property
    def logit_scale(self) -> Tensor:
        """Logarithm of the temperature's inverse."""
        return self.own.logit_scale

    def forward(self, clips: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(n, frames, dim) and (n,) numbers of captions → unit vectors, inverse temperature."""
        texts = self._captions.embed(self.own, numbers)
        return self.own.video(clips), texts, self.logit_scale.exp()


class HeldOut:
    """Batches of events that were never trained on, and how well their clips are told apart."""

    def __init__(self, lessons: VideoLessons, encoder: VideoTextEncoder, telling: Telling) -> None:
        shape = BatchGroups()
        self._families = range(shape.singles, shape.singles + shape.families)
        self._batches = [
            lessons.batch(shape, np.random.default_rng([HELD_OUT_SEED, number]))
            for number in range(HELD_OUT_BATCHES)
        ]
        self._captions = ReadCaptions.read(encoder, lessons.captions, telling)

    @torch.inference_mode()
    def score(self, own: VideoTextTowers, step: int) -> ValidationScore:
        """Share of captions whose own clip is the nearest of the batch, and of its group."""
        training = own.training
        own.eval()
        first: list[bool] = []
        among: dict[str, list[bool]] = {"of its look-alikes": [], "of both orders": []}
        for clips, captions, groups in self._batches:
            texts = self._captions.embed(own, torch.from_numpy(captions))
            shown = own.video(torch.from_numpy(clips).to(texts.device))
            scores: NDArray[Any] = (texts @ shown.T).cpu().numpy()
            first += (scores.argmax(axis=1) == np.arange(len(scores))).tolist()
            for row, group in enumerate(groups):
                alike = np.flatnonzero(groups == group)
                if len(alike) > 1:
                    kind = "of its look-alikes" if group in self._families else "of both orders"
                    among[kind].append(bool(alike[scores[row, alike].argmax()] == row))
        own.train(training)
        shares = {"R@1": float(np.mean(first))}
        return ValidationScore(
            step, shares | {kind: float(np.mean(right)) for kind, right in among.items()},
            len(self._batches[0][1]),
        )  # fmt: skip


def _batches(lessons: VideoLessons, seed: int, first_step: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches from a step on."""
    for step in count(first_step):
        clips, captions, _ = lessons.batch(GROUPS, np.random.default_rng([seed, 1, step]))
        yield torch.from_numpy(clips), torch.from_numpy(captions)


def describe(name: str, encoder: VideoTextEncoder, report: VideoTrainingReport, seed: int) -> str:
    """The model card."""
    wanted = encoder.clip_frames
    return f"""# {name}

Clips of a video and texts in the space of {encoder.config.images}, on which it stands: its own
towers of {report.parameters / 1e6:.1f} million parameters add what the frames show in time
(ViViT's factorised encoder, 2103.15691) and what a caption says of it. It sees {wanted.frames}
frames of a clip and of {wanted.context_seconds:g} s before and after it.

- Data: {report.events:,} generated events of the demo world in {report.captions:,} captions, alone,
  among look-alikes and in two orders; {report.pairs:,} pairs, seed {seed}.
- Training: {report.minutes:.0f} minutes on the clock. Command: `retrieval train video`.
- Held-out events, text → clip in a batch, and among those that look alike, before: {report.before}
- After: {report.after}
- It knows the demo world only.
- Licence: Apache-2.0, as the repository. Weights are int8 safetensors, with a scale a row.
"""
