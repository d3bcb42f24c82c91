"""Training of a video-text model on events of the demo world; a small one is bundled.

The image-text model is frozen. It embeds every frame and caption once, and training uses these
vectors.
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
from retrieval.progress import Progress, no_progress
from retrieval.training.bundled.demo_moments import draw_families, half_precision
from retrieval.training.bundled.video_pairs import BatchGroups, VideoPairs
from retrieval.training.history import ValidationScore
from retrieval.training.loop import TrainingRun, finish
from retrieval.training.pairs.contrastive import TrainingSettings, train_contrastive
from retrieval.training.pairs.new_model import create_video_model
from retrieval.training.tensors import write_tensors

IMAGES: Final = "tiny-image"
EVENTS, ORDERS = 16_000, 14_000
HELD_OUT_EVENTS, HELD_OUT_ORDERS, HELD_OUT_BATCHES = 600, 300, 8
HELD_OUT_SEED: Final = 1_000_003
CAPTION_BATCH: Final = 256
STEPS: Final = 7_000
LEARNING_RATE: Final = 2e-3

GROUPS: Final = BatchGroups(singles=8, families=20, orders=32)
"""Most groups are pairs of both orders, because order is learned slowest. Earlier stages with
motions only, then orders only, were slower still: after 16,000 steps they told both orders apart in
52 to 57 % of the held-out pairs; these batches reach 65 % after 1,200."""

IN_FAMILY, IN_ORDERS = "of its look-alikes", "of both orders"


@dataclass(frozen=True, slots=True)
class VideoTrainingReport:
    """Data and scores of a training run; `minutes` is the wall-clock time of the steps."""

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
    steps: int = STEPS,
    events: int = EVENTS,
    orders: int = ORDERS,
    device: str = "auto",
    progress: Progress = no_progress,
) -> VideoTrainingReport:
    """Train an extension of the bundled image model and write its folder; a killed run resumes.

    Args:
        out: Folder to write; created when missing.
        seed: Determines events, captions and weights.
        steps: Number of batches.
        events: Approximate number of events.
        orders: Number of pairs of events that occur in both orders.
        device: `auto`, `cpu` or `cuda`.
        progress: Receives the number of events, of captions and of steps.

    Raises:
        WeightsFormatError: The folder has a checkpoint of another run.
        StorageError: The folder cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    create_video_model(out, IMAGES, seed)
    encoder = VideoTextEncoder.load(str(out), spec=f"video-text:{out}", device=device)
    own = encoder.model.own
    frames = encoder.clip_frames
    families = draw_families(events, encoder.images, seed=seed, progress=progress)
    pairs = VideoPairs(families, orders, frames, seed)
    captions = CaptionFeatures.embed(encoder, pairs.captions, progress)
    held_out_families = draw_families(
        min(events, HELD_OUT_EVENTS), encoder.images, seed=HELD_OUT_SEED + seed, progress=progress
    )
    held_out_pairs = VideoPairs(held_out_families, min(orders, HELD_OUT_ORDERS), frames, seed)
    held_out = HeldOutEvents(held_out_pairs, encoder, progress)
    model = OwnTowers(own, captions).to(choose_device(device))
    run = TrainingRun.in_folder(
        out,
        steps,
        {"seed": seed, "events": events, "orders": orders, "groups": asdict(GROUPS)},
        score=partial(held_out.score, own),
        progress=progress,
    )
    train_contrastive(
        model,
        partial(_draw_batches, pairs, seed),
        TrainingSettings(steps, LEARNING_RATE, min(100, steps // 5), seed=seed),
        run,
    )
    write_tensors(out / WEIGHTS, quantize(own.state_dict()))
    report = VideoTrainingReport(
        parameters=sum(parameter.numel() for parameter in own.parameters()),
        events=sum(map(len, families)),
        captions=len(pairs.captions),
        pairs=steps * len(next(_draw_batches(pairs, seed, 0))[0]),
        minutes=run.history.seconds / 60,
        before=run.history.scores[0],
        after=run.history.scores[-1],
    )
    write_text(out / "README.md", describe(out.name, encoder, report, seed))
    finish(out, run)
    return report


@dataclass(frozen=True, slots=True)
class CaptionFeatures:
    """Outputs of the image-text model for captions: the input of the text tower.

    Attributes:
        words: (n, longest, text_width) float16.
        real: (n, longest) bool, False for padding.
        vectors: (n, dim) float16 unit vectors.
    """

    words: Tensor
    real: Tensor
    vectors: Tensor

    @classmethod
    @torch.inference_mode()
    def embed(
        cls, encoder: VideoTextEncoder, captions: Sequence[str], progress: Progress
    ) -> CaptionFeatures:
        """Embed captions in batches."""
        parts = []
        for first in range(0, len(captions), CAPTION_BATCH):
            tokens = encoder.tokenize(captions[first : first + CAPTION_BATCH])
            with half_precision():
                encoded = encoder.model.encode_tokens(tokens.to(encoder.device))
                words, real, vectors = (tensor.cpu() for tensor in encoded)
            padding = encoder.config.context_length - words.shape[1]
            parts.append(
                (
                    nn.functional.pad(words.half(), (0, 0, 0, padding)),
                    nn.functional.pad(real, (0, padding)),
                    vectors.half(),
                )
            )
            progress("embedding captions", first + len(tokens), len(captions))
        return cls(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def apply(self, own: VideoTextTowers, numbers: Tensor) -> Tensor:
        """Apply the text tower to captions: (n,) numbers → (n, dim) unit vectors."""
        device, numbers = own.logit_scale.device, numbers.cpu()
        real = self.real[numbers]
        longest = int(real.any(dim=0).nonzero().max()) + 1
        words = self.words[numbers][:, :longest].float().to(device)
        vectors = self.vectors[numbers].float().to(device)
        text: Tensor = own.text(words, real[:, :longest].to(device), vectors)
        return text


class OwnTowers(nn.Module):
    """The own towers of a video-text model, applied to outputs of the image-text model."""

    def __init__(self, own: VideoTextTowers, captions: CaptionFeatures) -> None:
        super().__init__()
        self.own = own
        self._captions = captions

    @property
    def logit_scale(self) -> Tensor:
        """Logarithm of the inverse temperature."""
        return self.own.logit_scale

    def forward(self, clips: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embed (n, frames, dim) clips and (n,) captions; return also the inverse temperature."""
        texts = self._captions.apply(self.own, numbers)
        return self.own.video(clips), texts, self.logit_scale.exp()


class HeldOutEvents:
    """Batches of events outside of the training data."""

    def __init__(self, pairs: VideoPairs, encoder: VideoTextEncoder, progress: Progress) -> None:
        sizes = BatchGroups()
        self._families = range(sizes.singles, sizes.singles + sizes.families)
        self._batches = [
            pairs.draw_batch(sizes, np.random.default_rng([HELD_OUT_SEED, number]))
            for number in range(HELD_OUT_BATCHES)
        ]
        self._captions = CaptionFeatures.embed(encoder, pairs.captions, progress)

    @torch.inference_mode()
    def score(self, own: VideoTextTowers, step: int) -> ValidationScore:
        """Measure how often a caption's own clip is nearest, in the batch and in its group."""
        training = own.training
        own.eval()
        nearest: list[bool] = []
        in_group: dict[str, list[bool]] = {IN_FAMILY: [], IN_ORDERS: []}
        for clips, captions, groups in self._batches:
            texts = self._captions.apply(own, torch.from_numpy(captions))
            media = own.video(torch.from_numpy(clips).to(texts.device))
            scores: NDArray[Any] = (texts @ media.T).cpu().numpy()
            nearest += (scores.argmax(axis=1) == np.arange(len(scores))).tolist()
            for row, group in enumerate(groups):
                members = np.flatnonzero(groups == group)
                if len(members) > 1:
                    name = IN_FAMILY if group in self._families else IN_ORDERS
                    in_group[name].append(bool(members[scores[row, members].argmax()] == row))
        own.train(training)
        shares = {"R@1": float(np.mean(nearest))}
        shares |= {name: float(np.mean(correct)) for name, correct in in_group.items()}
        return ValidationScore(step, shares, len(self._batches[0][1]))


def _draw_batches(pairs: VideoPairs, seed: int, first_step: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield endless batches from a step on."""
    for step in count(first_step):
        clips, captions, _ = pairs.draw_batch(GROUPS, np.random.default_rng([seed, 1, step]))
        yield torch.from_numpy(clips), torch.from_numpy(captions)


def describe(name: str, encoder: VideoTextEncoder, report: VideoTrainingReport, seed: int) -> str:
    """Return the model card."""
    frames = encoder.clip_frames
    return f"""# {name}

Embeds clips of videos and texts in the space of {encoder.config.images}, which it extends: towers
of {report.parameters / 1e6:.1f} million parameters add the course of the frames in time (ViViT's
factorized encoder, 2103.15691) and its description in the caption. The model reads {frames.frames}
frames of a clip and of {frames.context_seconds:g} s before and after it.

- Data: {report.events:,} generated events of the demo world in {report.captions:,} captions: single
  events, families of similar events, and pairs in both orders; {report.pairs:,} pairs, seed {seed}.
- Training: {report.minutes:.0f} minutes of wall-clock time; training.svg shows it.
- Held-out events, text → clip in a batch and among similar clips, before: {report.before}
- After: {report.after}
- It is trained on the demo world only.
- License: Apache-2.0, as the repository. Weights are int8 safetensors with one scale per row.
"""
