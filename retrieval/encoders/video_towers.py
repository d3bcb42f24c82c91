"""The towers of a video-text model, on top of any image-text model of open_clip.

ViViT's factorised encoder (2103.15691, model 2): the image tower reads every frame on its own, a
temporal transformer reads the frames' vectors in their order. Beside it a small transformer reads a
caption's words once more. Both add to what the image-text model says: an untrained one finds what
the mean of the frames finds (CLIP4Clip, 2104.08860).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.encoders.towers import TransformerSize, transformer
from retrieval.types import ClipFrames

COSINES = 4
"""Waves over a clip whose shares in the frames' vectors are read at once, the slowest first."""

FIRST_STEP = 1e-3
"""Deviation of the last layers' first weights. At zero neither tower would have anything to learn
from the other; with this an untrained model says almost what the mean of the frames says."""


@dataclass(frozen=True, slots=True)
class VideoTextConfig:
    """Sizes of a video-text model; what config.json holds.

    Attributes:
        images: Specification of the image-text model under it, or a folder's name beside it.
        images_digest: That model's digest: with others the vectors would mean nothing.
        dim: Length of a vector, of that model and of this one.
        text_width: Width of that model's words.
        context_length: Tokens that it reads.
        frames: Frames of a clip.
        own_frames: The middle ones, which lie in the clip itself; the others are its context.
        context_seconds: What is seen of the video before and after a clip.
        video: Of the temporal transformer.
        course: Width of the network that reads how the frames change.
        text: Of the transformer over words.
    """

    images: str
    images_digest: str
    dim: int
    text_width: int
    context_length: int
    frames: int
    own_frames: int
    context_seconds: float
    video: TransformerSize
    course: int
    text: TransformerSize

    def __post_init__(self) -> None:
        if not 0 < self.own_frames <= self.frames or (self.frames - self.own_frames) % 2:
            raise ValueError(
                f"{self.own_frames} of {self.frames} frames cannot lie in the middle of a clip"
            )

    @property
    def clip_frames(self) -> ClipFrames:
        """How the frames of a clip must arrive."""
        return ClipFrames(self.frames, self.context_seconds)


class TemporalTower(nn.Module):
    """Reads the vectors of a clip's frames in time and adds to the mean of the middle ones.

    A transformer reads them one by one. Beside it a small network reads how they change over the
    clip, as a discrete cosine transform tells it: where things move to, and what is first, is in
    its first coefficients. From those it learns several times faster than attention alone does.
    """

    def __init__(self, config: VideoTextConfig) -> None:
        super().__init__()
        width = config.video.width
        outside = (config.frames - config.own_frames) // 2
        self._own = slice(outside, outside + config.own_frames)
        self.seen = nn.Linear(config.dim, width)
        self.summary = nn.Parameter(torch.randn(width) * 0.02)
        self.positions = nn.Parameter(torch.randn(config.frames, width) * 0.02)
        self.blocks = transformer(config.video)
        self.project = nn.Linear(width, config.dim, bias=False)
        self.waves = nn.Parameter(cosines(config.frames))
        self.course = nn.Sequential(
            nn.Linear(COSINES * config.dim, config.course),
            nn.GELU(),
            nn.Linear(config.course, config.course),
            nn.GELU(),
            nn.Linear(config.course, config.dim, bias=False),
        )
        for last in (self.project, self.course[-1]):
            nn.init.normal_(last.get_parameter("weight"), std=FIRST_STEP)

    def forward(self, frames: Tensor) -> Tensor:
        """(n, frames, dim) unit vectors in their order → (n, dim) of unit length."""
        wide = frames * frames.shape[-1] ** 0.5
        rows = self.seen(wide) + self.positions
        rows = torch.cat([self.summary.expand(len(rows), 1, -1), rows], dim=1)
        read = self.project(self.blocks(rows)[:, 0])
        read = read + self.course(torch.einsum("nfd,fw->nwd", wide, self.waves).flatten(1))
        own: Tensor = frames[:, self._own].mean(dim=1)
        return unit(own + read)


def unit(rows: Tensor) -> Tensor:
    """(n, dim) at length 1."""
    normed: Tensor = functional.normalize(rows, dim=-1)
    return normed


def cosines(frames: int) -> Tensor:
    """(frames, COSINES) the slowest waves of the discrete cosine transform, without the mean."""
    places = torch.arange(frames) + 0.5
    turns = torch.arange(1, COSINES + 1) * torch.pi / frames
    return torch.cos(places[:, None] * turns) * math.sqrt(2 / frames)


class WordsTower(nn.Module):
    """A transformer over the words that the image-text model has read; adds to its vector."""

    def __init__(self, config: VideoTextConfig) -> None:
        super().__init__()
        width = config.text.width
        self.enter = nn.Sequential(
            nn.LayerNorm(config.text_width), nn.Linear(config.text_width, width)
        )
        self.positions = nn.Parameter(torch.randn(config.context_length, width) * 0.02)
        self.blocks = transformer(config.text)
        self.project = nn.Linear(width, config.dim, bias=False)
        nn.init.normal_(self.project.weight, std=FIRST_STEP)

    def forward(self, words: Tensor, real: Tensor, vectors: Tensor) -> Tensor:
        """Read captions.

        Args:
            words: (n, tokens, text_width).
            real: (n, tokens) bool, False for padding.
            vectors: (n, dim) unit vectors that the image-text model gave them.

        Returns:
            (n, dim) of unit length.
        """
        rows = self.enter(words) + self.positions[: words.shape[1]]
        rows = self.blocks(rows, src_key_padding_mask=~real)
        weights = real[..., None].to(rows.dtype)
        pooled = (rows * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1)
        return unit(vectors + self.project(pooled))


class VideoText(nn.Module):
    """What a video-text model has of its own: both towers, and the temperature of their loss."""

    def __init__(self, config: VideoTextConfig) -> None:
        super().__init__()
        self.video = TemporalTower(config)
        self.text = WordsTower(config)
        self.logit_scale = nn.Parameter(torch.tensor(2.66))  # ln(1 / 0.07), as in CLIP


class Factorised(nn.Module):
    """The image-text model and what stands on it.

    Args:
        images: An open_clip model.
        own: Its video-text part.
        pad: Token that fills texts up.
    """

    def __init__(self, images: Any, own: VideoText, pad: int) -> None:
        super().__init__()
        self.images = images
        self.own = own
        self._pad = pad

    @property
    def logit_scale(self) -> Tensor:
        """Logarithm of the temperature's inverse."""
        return self.own.logit_scale

    def embed_clips(self, pixels: Tensor) -> Tensor:
        """(n, frames, 3, height, width) prepared pictures → (n, dim) of unit length."""
        vectors = self.images.encode_image(pixels.flatten(0, 1), normalize=True)
        video: Tensor = self.own.video(vectors.view(*pixels.shape[:2], -1))
        return video

    def embed_text(self, tokens: Tensor) -> Tensor:
        """(n, context) token ids → (n, dim) of unit length."""
        text: Tensor = self.own.text(*self.read(tokens))
        return text

    def read(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the image-text model makes of (n, context) token ids.

        Returns:
            Words, (n, longest, text_width); which of them are real, (n, longest) bool; and unit
            vectors, (n, dim).
        """
        real = tokens != self._pad
        real[:, 0] = True  # an empty text is all padding
        longest = int(real.any(dim=0).nonzero().max()) + 1
        read = self.images.forward_intermediates(
            text=tokens, text_indices=1, normalize_intermediates=True
        )
        return read["text_intermediates"][-1][:, :longest], real[:, :longest], read["text_features"]
