"""The interfaces of encoders and localizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from retrieval.types import (
    AudioWindows,
    ClipFrames,
    ImageGeometry,
    Medium,
    MomentQuery,
    ScoredSpan,
    Space,
    TimedRows,
)


class Encoder(Protocol):
    """Maps text and at least one medium into one space.

    Every `encode_*` returns (n, dim) float32 rows of unit length, or raises InvalidVectorError.
    n may be 0. A medium outside `media` raises ValueError.
    """

    @property
    def spec(self) -> str:
        """The specification that loads this encoder again, such as `open_clip:ViT-B-32/openai`."""

    @property
    def slug(self) -> str:
        """Short name of lower-case letters, digits and dashes, for the space's folder."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    @property
    def media(self) -> tuple[Medium, ...]:
        """The media it embeds in addition to text: (image, video) for a CLIP, (audio,) for CLAP."""

    @property
    def digest(self) -> str:
        """sha256 in hex over weights, preprocessing and tokenizer, without the sampling."""

    @property
    def geometry(self) -> ImageGeometry | None:
        """Input geometry of pictures and frames; None if it embeds none."""

    @property
    def windows(self) -> AudioWindows | None:
        """Input windows of audio; None if it embeds none."""

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts, truncated to the tokenizer's context length."""

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed (n, height, width, 3) uint8 RGB pictures or frames of `geometry`'s size."""

    def encode_audio(
        self, windows: NDArray[np.float32], seconds: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Embed (n, window_samples) float32 mono windows; `seconds` (n,) excludes padding."""


class ClipEncoder(Encoder, Protocol):
    """An encoder that reads the frames of a clip together, and thus their motion and order.

    Its video segments are the vectors of clips instead of means of frame vectors, and its space
    stores no frames. Localizing by frames needs a further space of images.
    """

    @property
    def clip_frames(self) -> ClipFrames:
        """Sampling of a clip's frames; part of the space's digest."""

    def encode_clips(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed (n, frames, height, width, 3) uint8 RGB clips, each with its frames in order."""


def reads_clips(encoder: Encoder) -> TypeGuard[ClipEncoder]:
    """Return whether an encoder is a `ClipEncoder`."""
    return hasattr(encoder, "encode_clips")


@runtime_checkable
class Tempered(Protocol):
    """An encoder with a trained logit scale.

    The scale is the inverse temperature of training: the factor of inner products in the softmax.
    """

    @property
    def logit_scale(self) -> float:
        """The factor, not its logarithm: 100 at most for a CLIP."""


class Localizer(Protocol):
    """Finds the spans of items that answer a query, from stored vectors."""

    @property
    def max_items(self) -> int:
        """Maximal number of first-stage items to localize in."""

    @property
    def reads_frames(self) -> bool:
        """Whether it reads the frames of videos instead of their segments."""

    @property
    def gives_probabilities(self) -> bool:
        """Whether its scores are probabilities; otherwise inner products, as in the first stage."""

    @property
    def likely_score(self) -> float:
        """The least probability of a likely answer."""

    def can_answer(self, query: MomentQuery, space: Space, medium: Medium) -> bool:
        """Return whether it supports the query and the rows of a medium in a space."""

    def localize(self, query: MomentQuery, items: Sequence[TimedRows]) -> list[list[ScoredSpan]]:
        """Find the spans of each item that answer the query.

        Scores are comparable between the items of one call and rank the moments.

        Args:
            query: In the space of the rows.
            items: Of one space and medium, in the first stage's order.

        Returns:
            For each item its spans, without overlaps, best first; empty only for an item without
            rows.
        """
