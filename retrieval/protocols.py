"""The interfaces between the folders: what an encoder and a localizer must offer."""

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
        """The specification that loads this encoder again, as `open_clip:ViT-B-32/openai`."""
        ...

    @property
    def slug(self) -> str:
        """Short readable name in lower case, digits and dashes, for the space's folder."""
        ...

    @property
    def dim(self) -> int:
        """Length of a vector."""
        ...

    @property
    def media(self) -> tuple[Medium, ...]:
        """What it embeds beside text: (image, video) for a CLIP, (audio,) for a CLAP or MuLan."""
        ...

    @property
    def digest(self) -> str:
        """sha256 in hex over weights, preprocessing and tokenizer; sampling comes on top."""
        ...

    @property
    def geometry(self) -> ImageGeometry | None:
        """How pictures and frames must arrive; None where it embeds none."""
        ...

    @property
    def windows(self) -> AudioWindows | None:
        """How sound must arrive; None where it embeds none."""
        ...

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; longer ones are cut at the tokenizer's context length."""
        ...

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed (n, height, width, 3) uint8 RGB pictures or frames of `geometry`'s size."""
        ...

    def encode_audio(
        self, windows: NDArray[np.float32], seconds: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Embed (n, window_samples) float32 mono windows; `seconds` (n,) is real sound in each."""
        ...


class ClipEncoder(Encoder, Protocol):
    """An encoder that reads the frames of a clip together: it knows what moves, and what is first.

    Its video segments are the vectors of clips, not means of frame vectors, and its space stores no
    frames: localizing by frames is for a space of images, which the same videos also have.
    """

    @property
    def clip_frames(self) -> ClipFrames:
        """How the frames of a clip must arrive; part of the space's digest."""
        ...

    def encode_clips(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed (n, frames, height, width, 3) uint8 RGB clips, each with its frames in order."""
        ...


def reads_clips(encoder: Encoder) -> TypeGuard[ClipEncoder]:
    """Whether an encoder reads the frames of a clip together."""
    return hasattr(encoder, "encode_clips")


@runtime_checkable
class Tempered(Protocol):
    """An encoder that learned, with its vectors, how sharply their inner products tell.

    Its `logit_scale` is the inverse temperature of training: what inner products are multiplied
    with before a softmax turns them into probabilities.
    """

    @property
    def logit_scale(self) -> float:
        """The factor, not its logarithm: 100 at most for a CLIP."""
        ...


class Localizer(Protocol):
    """Turns stored vectors of some items and a query into spans."""

    @property
    def max_items(self) -> int:
        """How many of the first stage's items it looks into."""
        ...

    @property
    def reads_frames(self) -> bool:
        """Whether it wants the frames of videos; else their segments."""
        ...

    @property
    def gives_probabilities(self) -> bool:
        """Whether its scores are probabilities; else inner products, as in the first stage."""
        ...

    @property
    def likely_score(self) -> float:
        """Of probabilities: the score from which a span is likely an answer."""
        ...

    def can_answer(self, query: MomentQuery, space: Space, medium: Medium) -> bool:
        """Whether it understands the query and the rows of a medium in a space."""
        ...

    def localize(self, query: MomentQuery, items: Sequence[TimedRows]) -> list[list[ScoredSpan]]:
        """Find the spans of each item that answer the query.

        Scores are comparable between the items of one call; they are what the answer is ranked by.

        Args:
            query: In the space of the rows.
            items: All of one space and medium, in the first stage's order.

        Returns:
            For each item its spans, which do not overlap, best first; none only where it has no
            rows.
        """
        ...
