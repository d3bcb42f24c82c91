"""The data types of the texts of items; `retrieval.types` exports them with all others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class TextSource(StrEnum):
    """Where a text of an item comes from."""

    NAME = "name"
    CAPTION = "caption"
    TAG = "tag"
    TRANSCRIPT = "transcript"
    OCR = "ocr"
    SPEECH = "speech"


@dataclass(frozen=True, slots=True)
class TimedText:
    """What an item says in one place, such as a caption, a tag or one cue of a transcript.

    Attributes:
        start_seconds: Start of the span that the text belongs to; None for the whole item.
        end_seconds: End of the span; None for the whole item.
        language: ISO 639-1 code such as `de`; None if unknown.
    """

    source: TextSource
    text: str
    start_seconds: float | None = None
    end_seconds: float | None = None
    language: str | None = None

    def __post_init__(self) -> None:
        start, end = self.start_seconds, self.end_seconds
        if (start is None) != (end is None):
            raise ValueError(f"a text has both times or none, got {start} and {end}")
        if start is not None and end is not None and not 0 <= start < end < math.inf:
            raise ValueError(f"a text needs 0 <= start < end, got [{start}, {end}) seconds")


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A file beside an item from which texts were read; a change of it makes them outdated.

    Attributes:
        name: Name in the item's folder.
        bytes: Size.
        mtime: Seconds since 1970.
    """

    name: str
    bytes: int
    mtime: float


@dataclass(frozen=True, slots=True)
class DecodedTexts:
    """Texts that decoding read in an item, perhaps none: it reports that reading proceeds.

    Attributes:
        seconds: Position in the recording or video.
    """

    texts: tuple[TimedText, ...]
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class DecodedSpeech:
    """Sound with speech, for a speech model.

    Attributes:
        samples: (n,) float32, mono, 16 kHz.
        start_seconds: Start in the recording.
    """

    samples: NDArray[np.float32]
    start_seconds: float


WordEvent = DecodedTexts | DecodedSpeech
"""Events of decoding plans that read words; they take the place of chunks."""
