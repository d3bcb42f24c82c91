"""The data types that the packages exchange: decoded, embedded, stored and found items.

Times are seconds in half-open spans, vectors have unit length, scores are inner products.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from retrieval.text_types import DecodedSpeech as DecodedSpeech
from retrieval.text_types import DecodedTexts as DecodedTexts
from retrieval.text_types import Sidecar as Sidecar
from retrieval.text_types import TextSource as TextSource
from retrieval.text_types import TimedText as TimedText
from retrieval.text_types import WordEvent as WordEvent

Scalar = str | int | float | bool | date | None
"""A value of a user's metadata column. A timestamp is a `datetime` (a `date`) in UTC."""


class Medium(StrEnum):
    """The modality of an item, or the medium that a segment embeds."""

    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"


# ---------------------------------------------------------------- sources and decoding


@dataclass(frozen=True, slots=True)
class Source:
    """One file to embed: a media file, or an archive of them.

    Attributes:
        uri: Absolute path as the collection stores it, percent-encoded where needed.
        path: Path that opens the file.
        is_tar: Whether it is an archive: a tar, or a Parquet file that holds media.
        sidecars: The transcript files beside it.
        rereads: Text sources to read even if the collection has the content.
    """

    uri: str
    path: str
    is_tar: bool = False
    caption: str | None = None
    columns: dict[str, Scalar] = field(default_factory=dict)
    sidecars: tuple[Sidecar, ...] = ()
    rereads: frozenset[TextSource] = frozenset()


@dataclass(frozen=True, slots=True)
class KnownFile:
    """The stored state of a file that is already an item of the collection."""

    item_id: int
    bytes: int
    mtime: float
    sha256: str


@dataclass(frozen=True, slots=True)
class ImageGeometry:
    """How a model's pictures are resized and cropped.

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
    """The mono audio windows that a model reads."""

    sample_rate_hz: int
    window_seconds: float = 10.0
    hop_seconds: float = 10.0

    @property
    def window_samples(self) -> int:
        """Samples of one window."""
        return round(self.sample_rate_hz * self.window_seconds)


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling of videos: frames per second, and seconds per clip (one segment each)."""

    frames_per_second: float = 2.0
    clip_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class ClipFrames:
    """The evenly spaced frames that a clip encoder reads together.

    Attributes:
        frames: Frames of one clip. Where fewer are sampled, some are repeated.
        context_seconds: Seconds of video that the encoder reads before and after the clip.
    """

    frames: int
    context_seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.frames < 1 or not 0 <= self.context_seconds < math.inf:
            raise ValueError(f"need at least one frame and no negative context, got {self}")


@dataclass(frozen=True, slots=True)
class DecodePlan:
    """The outputs that decoding must produce; small and picklable for worker processes.

    Attributes:
        images: By space name, for image items.
        frames: By space name, for the frames of videos.
        audio: By space name, for recordings and, with `sound_of_videos`, the sound of videos.
        words: Texts to read instead of decoding for encoders: `ocr`, `speech`, or both.
        file_texts: Text sources to read beside, of those that need the file: tag, transcript.
    """

    images: dict[str, ImageGeometry] = field(default_factory=dict)
    frames: dict[str, ImageGeometry] = field(default_factory=dict)
    audio: dict[str, AudioWindows] = field(default_factory=dict)
    sampling: Sampling = field(default_factory=Sampling)
    sound_of_videos: bool = True
    words: frozenset[TextSource] = frozenset()
    file_texts: frozenset[TextSource] = frozenset()


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """Metadata of one item, from its file and its source.

    Attributes:
        texts: The texts that were read.
        sidecars: The files from which transcripts were read.
        facts: Values that the file's tags state, for columns that the user does not set.
    """

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
    texts: tuple[TimedText, ...] = ()
    sidecars: tuple[Sidecar, ...] = ()
    facts: dict[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DecodedChunk:
    """Some samples of one item, ready for the encoder of one space.

    Attributes:
        space: Name of the space whose encoder reads them.
        medium: image: one picture; video: frames, or clips for a clip encoder; audio: windows.
        samples: (n, height, width, 3) uint8 for pictures and frames; (n, frames, height, width, 3)
            uint8 for clips, which are cut after decoding; (n, window_samples) float32 for windows,
            mono, zero-padded at the end.
        start_seconds: (n,) float64: time of the frame, start of the clip or window; None for an
            image.
        end_seconds: (n,) float64: end of the window without padding; None for other media.
    """

    space: str
    medium: Medium
    samples: NDArray[np.uint8] | NDArray[np.float32]
    start_seconds: NDArray[np.float64] | None = None
    end_seconds: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class ItemDecoded:
    """The end of an item: all of its chunks have been delivered.

    Attributes:
        damaged_packets: Packets that were skipped.
        notes: Further messages for the user, such as omitted streams or a wrong header.
    """

    info: MediaInfo
    damaged_packets: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemUnchanged:
    """A file whose bytes the collection already holds.

    Attributes:
        info: Metadata known without decoding. Its caption, columns and texts can be new.
        texts_read: The sources whose texts `info` has.
    """

    uri: str
    info: MediaInfo | None = field(default=None, compare=False)
    texts_read: frozenset[TextSource] = frozenset()


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that cannot be used; its chunks are dropped.

    Attributes:
        stage: `open`, `decode`, `encode`, `worker`, `import`, `space` or `no encoder`.
        bytes: Size of the file. With `mtime` it shows whether the file has changed since.
    """

    uri: str
    stage: str
    reason: str
    bytes: int = 0
    mtime: float = 0.0


DecodeEvent = DecodedChunk | WordEvent | ItemDecoded | ItemUnchanged | Failure


# ---------------------------------------------------------------- spaces and stored rows


@dataclass(frozen=True, slots=True)
class Space:
    """The embedding space of one encoder, as a collection stores it.

    Attributes:
        name: Slug plus the first 8 hex digits of `digest`; also the folder's name.
        encoder: The specification that loads the encoder again (`open_clip:NAME/TAG`, `mulan:…`).
        dim: Length of a vector.
        media: The media it embeds in addition to text.
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
    """One item with all of its rows, ready to be stored.

    Attributes:
        segments: By name of every space the item was embedded in; may have zero rows.
        frames: By space name, for videos.
        replaces: Id of the older version of the uri, which is removed when this one is published.
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
    """The query of a localizer in one space.

    Attributes:
        vector: (dim,) float32 of unit length.
        text: The query's text if it is a single text; None for files and sums.
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


# ---------------------------------------------------------------- hits


@dataclass(frozen=True, slots=True)
class TextMatch:
    """The text of a hit that contains words of the query.

    Attributes:
        text: Plain text, an excerpt of a long one.
        marks: Half-open ranges of code points of `text` that match.
        start_seconds: Start of the text's span; None for the whole item.
        end_seconds: End of the text's span; None for the whole item.
    """

    source: TextSource
    text: str
    marks: tuple[tuple[int, int], ...]
    start_seconds: float | None = None
    end_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A ranked item with its best segment or moment.

    Attributes:
        score: Inner product, or the re-ranker's probability of a match; None for a hit that only
            words found.
        space: Space of the score; None if vectors did not find the hit.
        likely: Whether the score is better than those of unrelated texts, or words match.
        text_score: BM25 score of the best matching text; None if no text matches.
        matched: The text that contains words of the query; None if no text matches.
        collection: Name of the item's collection in a search of several; else None.
        first_stage_score: The score before re-ranking; None for hits that were not re-ranked.
        missing: Whether the item's file is gone.
        vector: (dim,) float32: stored vector of the best segment; None unless requested.
    """

    rank: int
    score: float | None
    item_id: int
    uri: str
    modality: Medium
    medium: Medium
    start_seconds: float | None
    end_seconds: float | None
    space: str | None
    likely: bool
    metadata: dict[str, Scalar] = field(default_factory=dict)
    first_stage_score: float | None = None
    missing: bool = False
    vector: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    text_score: float | None = None
    matched: TextMatch | None = None
    collection: str | None = None
