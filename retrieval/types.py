"""The words of the design as values: what is decoded, embedded, stored and found.

Times are seconds in half-open spans, vectors are unit length, scores are inner products.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Scalar = str | int | float | bool | date | None
"""A value of a user's metadata column; a timestamp is a `datetime`, which is a `date`, in UTC."""


class Medium(StrEnum):
    """What kind of thing an item is (its modality), or what of it a segment embeds (its medium)."""

    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"


# ---------------------------------------------------------------- sources and decoding


@dataclass(frozen=True, slots=True)
class Source:
    """One file to embed: a media file, or an archive of them.

    `uri` is what the collection stores (absolute, percent-encoded where needed); `path` opens it.
    `is_tar` marks archives: tars, and Parquet files that hold media.
    """

    uri: str
    path: str
    is_tar: bool = False
    caption: str | None = None
    columns: dict[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KnownFile:
    """What the collection already knows of a uri."""

    item_id: int
    bytes: int
    mtime: float
    sha256: str


@dataclass(frozen=True, slots=True)
class ImageGeometry:
    """How a model wants a picture resized and cropped: read from the model, never from memory.

    Attributes:
        height: Pixels of the model's input.
        width: Pixels of the model's input.
        interpolation: `bicubic`, `bilinear` or `nearest`.
        resize_mode: `shortest` (scale the short side, crop the centre), `squash` (ignore the
            aspect ratio) or `longest` (scale the long side, pad with `fill`).
        fill: Grey level 0 … 255 of padding.
    """

    height: int
    width: int
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    fill: int = 0


@dataclass(frozen=True, slots=True)
class AudioWindows:
    """How a model wants sound: mono windows at one sample rate."""

    sample_rate_hz: int
    window_seconds: float = 10.0
    hop_seconds: float = 10.0

    @property
    def window_samples(self) -> int:
        """Samples of one window."""
        return round(self.sample_rate_hz * self.window_seconds)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How videos are sampled: frames per second, and seconds per clip (one segment each)."""

    frames_per_second: float = 2.0
    clip_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class ClipFrames:
    """How a model that reads the frames of a clip together wants them: evenly spaced in time.

    Attributes:
        frames: Frames of one clip; where fewer are sampled, some come more than once.
        context_seconds: What it sees of the video before and after the clip, on each side.
    """

    frames: int
    context_seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.frames < 1 or not 0 <= self.context_seconds < math.inf:
            raise ValueError(f"need at least one frame and no negative context, got {self}")


@dataclass(frozen=True, slots=True)
class DecodePlan:
    """What the decoders must produce; small and picklable, so that it travels to worker processes.

    Attributes:
        images: By space name, for image items.
        frames: By space name, for the frames of videos.
        audio: By space name, for recordings and, where `sound_of_videos`, the sound of videos.
    """

    images: dict[str, ImageGeometry] = field(default_factory=dict)
    frames: dict[str, ImageGeometry] = field(default_factory=dict)
    audio: dict[str, AudioWindows] = field(default_factory=dict)
    sampling: Sampling = field(default_factory=Sampling)
    sound_of_videos: bool = True


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What decoding learned of one item."""

    uri: str
    modality: Medium
    bytes: int
    mtime: float
    sha256: str
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None
    caption: str | None = None
    columns: dict[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DecodedChunk:
    """Some samples of one item, ready for the encoder of one space.

    Attributes:
        space: Name of the space whose encoder reads them.
        medium: image: one picture; video: frames, or clips where the encoder reads them; audio:
            windows.
        samples: (n, height, width, 3) uint8 for pictures and frames; (n, frames, height, width, 3)
            uint8 for clips, which are cut after decoding; (n, window_samples) float32 for windows,
            mono, zero-padded at the end.
        start_seconds: (n,) float64: time of the frame, start of the clip or window; None for an
            image.
        end_seconds: (n,) float64: end of the window (of real sound, not padding); None otherwise.
    """

    space: str
    medium: Medium
    samples: NDArray[np.uint8] | NDArray[np.float32]
    start_seconds: NDArray[np.float64] | None = None
    end_seconds: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class ItemDecoded:
    """Every chunk of the item has been delivered.

    `damaged_packets` counts what had to be skipped inside it; `notes` says what else the user
    should know: what is left out, or that the header is wrong.
    """

    info: MediaInfo
    damaged_packets: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemUnchanged:
    """The file's bytes are the ones the collection already holds.

    `info` is what is known of it without decoding: its caption and columns can be new.
    """

    uri: str
    info: MediaInfo | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be used; whatever chunks it delivered are to be dropped.

    `stage` is `open`, `decode`, `encode`, `worker`, `import` or `no encoder`; bytes and mtime tell
    whether it changed.
    """

    uri: str
    stage: str
    reason: str
    bytes: int = 0
    mtime: float = 0.0


DecodeEvent = DecodedChunk | ItemDecoded | ItemUnchanged | Failure


# ---------------------------------------------------------------- spaces and what is stored


@dataclass(frozen=True, slots=True)
class Space:
    """The embedding space of one encoder, as a collection remembers it.

    Attributes:
        name: Slug plus the first 8 hex digits of `digest`; also the folder's name.
        encoder: The specification that loads the encoder again (`open_clip:NAME/TAG`, `mulan:…`).
        dim: Length of a vector.
        media: The media it embeds beside text.
        digest: sha256 (hex) over weights, preprocessing, tokenizer, pooling, windows and sampling.
    """

    name: str
    encoder: str
    dim: int
    media: tuple[Medium, ...]
    digest: str
    sampling: Sampling = field(default_factory=Sampling)
    windows: AudioWindows | None = None


@dataclass(frozen=True, slots=True)
class Segments:
    """Vectors of one item in one space: parallel arrays of length n.

    Attributes:
        media: (n,) Medium of each vector.
        start_seconds: (n,) float32, NaN for an image.
        end_seconds: (n,) float32, NaN for an image.
        vectors: (n, dim) float32 of unit length.
    """

    media: list[Medium]
    start_seconds: NDArray[np.float32]
    end_seconds: NDArray[np.float32]
    vectors: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Frames:
    """Frame vectors of one video in one space: seconds (n,) float32, vectors (n, dim) float32."""

    seconds: NDArray[np.float32]
    vectors: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EmbeddedItem:
    """One item with everything a writer stores of it.

    `segments` has an entry for every space the item was embedded in, possibly of zero rows.
    `replaces` is the id of the older version of the uri, removed when this one is published.
    """

    info: MediaInfo
    segments: dict[str, Segments]
    frames: dict[str, Frames] = field(default_factory=dict)
    replaces: int | None = None


# ---------------------------------------------------------------- moments


ScoredSpan = tuple[float, float, float]
"""(start_seconds, end_seconds, score), higher is better."""


@dataclass(frozen=True, slots=True)
class MomentQuery:
    """What a localizer looks for in one space.

    Attributes:
        vector: (dim,) float32 of unit length.
        text: What was typed, where the query is a single text; None for files and sums.
    """

    vector: NDArray[np.float32]
    text: str | None = None


@dataclass(frozen=True, slots=True)
class TimedRows:
    """Stored vectors of one item in one space and medium, in order of time.

    Attributes:
        start_seconds: (n,) float64, ascending.
        end_seconds: (n,) float64.
        vectors: (n, dim) float32 of unit length.
    """

    start_seconds: NDArray[np.float64]
    end_seconds: NDArray[np.float64]
    vectors: NDArray[np.float32]


# ---------------------------------------------------------------- answers


@dataclass(frozen=True, slots=True)
class Moment:
    """A half-open span [start_seconds, end_seconds) of one item, as a localizer found it."""

    item_id: int
    start_seconds: float
    end_seconds: float
    score: float

    def __post_init__(self) -> None:
        if not 0 <= self.start_seconds < self.end_seconds:
            raise ValueError(
                f"item {self.item_id}: need 0 <= start < end, "
                f"got [{self.start_seconds}, {self.end_seconds}) seconds"
            )


@dataclass(frozen=True, slots=True)
class Hit:
    """A ranked item with its best segment (or moment); the fields of `search --format json`.

    Where a re-ranker judged it, `score` is the probability of a match that it gave, and
    `first_stage_score` what the item had before; None elsewhere. `vector` is the stored vector of
    the best segment, (dim,) float32, where it was asked for. `missing` says that the item's file is
    gone.
    """

    rank: int
    score: float
    item_id: int
    uri: str
    modality: Medium
    medium: Medium
    start_seconds: float | None
    end_seconds: float | None
    space: str
    likely: bool
    metadata: dict[str, Scalar] = field(default_factory=dict)
    first_stage_score: float | None = None
    missing: bool = False
    vector: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
