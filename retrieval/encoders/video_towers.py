"""The towers of a video-text model, on top of an image-text model of open_clip.

ViViT's factorised encoder (2103.15691, model 2): the image tower embeds each frame, a temporal
transformer reads the frames' vectors in order. A small transformer reads the caption's words again.
Both add to the vectors of the image-text model, so that an untrained model equals the mean of the
frames (CLIP4Clip, 2104.08860).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.encoders.mulan_sizes import TransformerSize
from retrieval.encoders.towers import masked_mean, transformer
from retrieval.types import ClipFrames

COSINES = 4
"""Lowest frequencies of the discrete cosine transform over a clip's frames that are read."""

INITIAL_STD = 1e-3
"""Initial deviation of the output layers. At zero the towers would get no gradient from each
other; at this value an untrained model is almost the mean of the frames."""


@dataclass(frozen=True, slots=True)
class VideoTextConfig:
    """Sizes of a video-text model; the fields of config.json.

    Attributes:
        images: Specification of the image-text model, or the name of a subfolder.
        images_digest: Digest of that model, whose vectors the towers were trained on.
        dim: Length of a vector, of that model and of this one.
        text_width: Width of that model's text tower.
        context_length: Tokens that the text tower reads.
        frames: Frames of a clip.
        own_frames: The middle frames, inside the clip itself; the others are its context.
        context_seconds: Seconds of the video read before and after a clip.
        video: Size of the temporal transformer.
        course: Hidden width of the network that reads how the frames change.
        text: Size of the transformer over words.
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
                f"{self.own_frames} of {self.frames} frames cannot be centred in a clip"
            )

    @property
    def clip_frames(self) -> ClipFrames:
        """How the model reads clips."""
        return ClipFrames(self.frames, self.context_seconds)


class TemporalTower(nn.Module):
    """Reads a clip's frame vectors in order and adds to the mean of the middle ones.

    A transformer reads the sequence. A small network reads the first coefficients of its discrete
    cosine transform, which describe motion and order; it learns them several times faster than
    attention alone.
    """

    def __init__(self, config: VideoTextConfig) -> None:
        super().__init__()
        width = config.video.width
        context = (config.frames - config.own_frames) // 2
        self._own = slice(context, context + config.own_frames)
        self.seen = nn.Linear(config.dim, width)
        self.summary = nn.Parameter(torch.randn(width) * 0.02)
        self.positions = nn.Parameter(torch.randn(config.frames, width) * 0.02)
        self.blocks = transformer(config.video)
        self.project = nn.Linear(width, config.dim, bias=False)
        self.waves = nn.Parameter(cosine_basis(config.frames))
        self.course = nn.Sequential(
            nn.Linear(COSINES * config.dim, config.course),
            nn.GELU(),
            nn.Linear(config.course, config.course),
            nn.GELU(),
            nn.Linear(config.course, config.dim, bias=False),
        )
        for last in (self.project, self.course[-1]):
            nn.init.normal_(last.get_parameter("weight"), std=INITIAL_STD)

    def forward(self, frames: Tensor) -> Tensor:
        """Embed (n, frames, dim) unit vectors in temporal order as (n, dim) unit vectors."""
        scaled = frames * frames.shape[-1] ** 0.5
        rows = self.seen(scaled) + self.positions
        rows = torch.cat([self.summary.expand(len(rows), 1, -1), rows], dim=1)
        change = self.project(self.blocks(rows)[:, 0])
        change = change + self.course(torch.einsum("nfd,fw->nwd", scaled, self.waves).flatten(1))
        mean: Tensor = frames[:, self._own].mean(dim=1)
        return functional.normalize(mean + change, dim=-1)


def cosine_basis(frames: int) -> Tensor:
    """Return the lowest frequencies of the DCT without the mean, (frames, COSINES)."""
    centres = torch.arange(frames) + 0.5
    frequencies = torch.arange(1, COSINES + 1) * torch.pi / frames
    return torch.cos(centres[:, None] * frequencies) * math.sqrt(2 / frames)


class CaptionTower(nn.Module):
    """A transformer over the word states of the image-text model; adds to its text vector."""

    def __init__(self, config: VideoTextConfig) -> None:
        super().__init__()
        width = config.text.width
        self.enter = nn.Sequential(
            nn.LayerNorm(config.text_width), nn.Linear(config.text_width, width)
        )
        self.positions = nn.Parameter(torch.randn(config.context_length, width) * 0.02)
        self.blocks = transformer(config.text)
        self.project = nn.Linear(width, config.dim, bias=False)
        nn.init.normal_(self.project.weight, std=INITIAL_STD)

    def forward(self, words: Tensor, mask: Tensor, vectors: Tensor) -> Tensor:
        """Embed captions.

        Args:
            words: (n, tokens, text_width) states of the image-text model.
            mask: (n, tokens) bool, False for padding.
            vectors: (n, dim) unit vectors of the image-text model.

        Returns:
            (n, dim) unit vectors.
        """
        rows = self.enter(words) + self.positions[: words.shape[1]]
        rows = self.blocks(rows, src_key_padding_mask=~mask)
        return functional.normalize(vectors + self.project(masked_mean(rows, mask)), dim=-1)


class VideoTextTowers(nn.Module):
    """Both towers and the temperature of their loss, without the image-text model."""

    def __init__(self, config: VideoTextConfig) -> None:
        super().__init__()
        self.video = TemporalTower(config)
        self.text = CaptionTower(config)
        self.logit_scale = nn.Parameter(torch.tensor(2.66))  # ln(1 / 0.07), as in CLIP


class VideoTextModel(nn.Module):
    """An image-text model with the towers on top of it.

    Args:
        images: An open_clip model.
        own: The towers.
        pad: Id of the padding token.
    """

    def __init__(self, images: Any, own: VideoTextTowers, pad: int) -> None:
        super().__init__()
        self.images = images
        self.own = own
        self._pad = pad

    @property
    def logit_scale(self) -> Tensor:
        """Logarithm of the inverse temperature."""
        return self.own.logit_scale

    def embed_clips(self, pixels: Tensor) -> Tensor:
        """Embed (n, frames, 3, height, width) prepared pictures as (n, dim) unit vectors."""
        vectors = self.images.encode_image(pixels.flatten(0, 1), normalize=True)
        return self.embed_frames(vectors.view(*pixels.shape[:2], -1))

    def embed_frames(self, vectors: Tensor) -> Tensor:
        """Embed (n, frames, dim) vectors of the image tower as (n, dim) unit vectors."""
        video: Tensor = self.own.video(vectors)
        return video

    def embed_text(self, tokens: Tensor) -> Tensor:
        """Embed (n, context) token ids as (n, dim) unit vectors."""
        text: Tensor = self.own.text(*self.encode_tokens(tokens))
        return text

    def encode_tokens(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run the image-text model's text tower on (n, context) token ids.

        Returns:
            Word states, (n, longest, text_width); their mask, (n, longest) bool, False for
            padding; and unit vectors, (n, dim).
        """
        mask = tokens != self._pad
        mask[:, 0] = True  # an empty text is all padding
        longest = int(mask.any(dim=0).nonzero().max()) + 1
        output = self.images.forward_intermediates(
            text=tokens, text_indices=1, normalize_intermediates=True
        )
        words = output["text_intermediates"][-1][:, :longest]
        return words, mask[:, :longest], output["text_features"]
