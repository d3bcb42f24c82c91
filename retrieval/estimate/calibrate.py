"""How fast this machine decodes and encodes: a few of the files themselves, for a few seconds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrieval.embedding.assembly import Assembler
from retrieval.embedding.options import Spaces
from retrieval.encoders.spaces import decode_plan
from retrieval.estimate.survey import Candidate, source_of
from retrieval.media.containers.reading import possible_seconds
from retrieval.media.decode import decode
from retrieval.types import DecodedChunk, ItemDecoded, MediaInfo, Medium

BUDGET_SECONDS = 6.0
"""For each modality; one that is decoded slowly is cut short, not waited for."""

FILES = 64
"""Files of a modality at most: a full batch of pictures."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Seconds of work, of one process decoding and of the encoder, for one unit.

    The unit is an item for pictures, and a second of playing time for recordings and videos.
    """

    decode_seconds: float
    encode_seconds: float


def measure(modality: Medium, samples: Sequence[Candidate], spaces: Spaces) -> Rate | None:
    """Decode and encode some files of one modality, as `embed` does, and time both.

    Args:
        modality: Of the files.
        samples: Files; the members of tars among them are passed over.
        spaces: The spaces to embed them in.

    Returns:
        The rate; None where nothing could be decoded.
    """
    plan = decode_plan(list(spaces.values()), sound_of_videos=True)
    assembler = Assembler(spaces)
    decoding = encoding = units = 0.0
    _warm_up(spaces)
    for source in filter(None, (source_of(candidate) for candidate in samples[:FILES])):
        events = decode(source, plan, {})
        reached = 0.0
        while decoding + encoding < BUDGET_SECONDS:
            began = time.perf_counter()
            event = next(events, None)
            decoded = time.perf_counter()
            decoding += decoded - began
            if not isinstance(event, (DecodedChunk, ItemDecoded)):
                break
            if isinstance(event, ItemDecoded):
                units += _units(event.info, reached)
                reached = 0.0
            elif event.start_seconds is not None and event.medium is modality:
                reached = float(event.start_seconds[-1])
            assembler.add(event)
            encoding += time.perf_counter() - decoded
        units += reached  # of a file that was cut short
        if decoding + encoding >= BUDGET_SECONDS:
            break
    began = time.perf_counter()
    assembler.flush()
    encoding += time.perf_counter() - began
    return Rate(decoding / units, encoding / units) if units else None


def _units(info: MediaInfo, reached: float) -> float:
    """Pictures or seconds of an item; a length that its bytes cannot hold is not believed."""
    if info.modality is Medium.IMAGE:
        return 1.0
    return min(info.duration_seconds or reached, possible_seconds(info.bytes))


def _warm_up(spaces: Spaces) -> None:
    """The first call of a model sets things up that later ones find ready."""
    for space, encoder in spaces.values():
        if encoder.geometry is not None and Medium.IMAGE in space.media:
            size = (1, encoder.geometry.height, encoder.geometry.width, 3)
            encoder.encode_images(np.zeros(size, np.uint8))
        if space.windows is not None:
            sound = np.zeros((1, space.windows.window_samples), np.float32)
            encoder.encode_audio(sound, np.array([space.windows.window_seconds]))
