"""Measures the speed of decoding and encoding on a few of the files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrieval.embedding.assembly import Assembler
from retrieval.embedding.options import Spaces
from retrieval.encoders.spaces import decode_plan
from retrieval.estimate.survey import MediaFile, source_of
from retrieval.media.containers.reading import possible_seconds
from retrieval.media.decode import decode
from retrieval.types import DecodedChunk, ItemDecoded, MediaInfo, Medium

BUDGET_SECONDS = 6.0
"""Default time limit for each modality."""

MAX_FILES = 64
"""Maximum number of files of a modality: a full batch of pictures."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Seconds that one decoding process and the encoder need for one unit.

    The unit is an item for pictures, and a second of duration for recordings and videos.
    """

    decode_seconds: float
    encode_seconds: float


def measure(
    modality: Medium,
    samples: Sequence[MediaFile],
    spaces: Spaces,
    budget_seconds: float = BUDGET_SECONDS,
) -> Rate | None:
    """Time decoding and encoding of some files of one modality.

    Args:
        modality: Modality of the files.
        samples: Files; members of tars are skipped.
        spaces: Spaces to embed them in.
        budget_seconds: Time limit.

    Returns:
        The rate; None if no file could be decoded.
    """
    plan = decode_plan(list(spaces.values()), sound_of_videos=True)
    assembler = Assembler(spaces)
    decoding = encoding = units = 0.0
    _warm_up(spaces)
    for source in filter(None, (source_of(file) for file in samples[:MAX_FILES])):
        events = decode(source, plan, {})
        last_start = 0.0
        while decoding + encoding < budget_seconds:
            start = time.perf_counter()
            event = next(events, None)
            decoded = time.perf_counter()
            decoding += decoded - start
            if not isinstance(event, (DecodedChunk, ItemDecoded)):
                break
            if isinstance(event, ItemDecoded):
                units += _units(event.info, last_start)
                last_start = 0.0
            elif event.start_seconds is not None and event.medium is modality:
                last_start = float(event.start_seconds[-1])
            assembler.add(event)
            encoding += time.perf_counter() - decoded
        units += last_start  # Of a file that is not fully decoded.
        if decoding + encoding >= budget_seconds:
            break
    start = time.perf_counter()
    assembler.flush()
    encoding += time.perf_counter() - start
    return Rate(decoding / units, encoding / units) if units else None


def _units(info: MediaInfo, last_start: float) -> float:
    """Return 1 for a picture, else the duration, limited by the size of the file."""
    if info.modality is Medium.IMAGE:
        return 1.0
    return min(info.duration_seconds or last_start, possible_seconds(info.bytes))


def _warm_up(spaces: Spaces) -> None:
    """Run each model once, because the first call includes initialization."""
    for space, encoder in spaces.values():
        if encoder.geometry is not None and Medium.IMAGE in space.media:
            size = (1, encoder.geometry.height, encoder.geometry.width, 3)
            encoder.encode_images(np.zeros(size, np.uint8))
        if space.windows is not None:
            sound = np.zeros((1, space.windows.window_samples), np.float32)
            encoder.encode_audio(sound, np.array([space.windows.window_seconds]))
