"""Read the words in an item: writing in its pictures, and the sound of its speech.

These readers need the extras `ocr` and `speech`; callers check first that they are installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from retrieval.errors import UnsupportedMediaError
from retrieval.media.audio.reader import open_sound
from retrieval.media.audio.speech import RATE_HZ, speech_stretches
from retrieval.media.images.reading import read_image
from retrieval.media.ocr.engine import load_engine
from retrieval.media.ocr.frames import FrameReader
from retrieval.media.ocr.reading import read_writing
from retrieval.media.video.reader import open_video
from retrieval.types import (
    DecodedSpeech,
    DecodedTexts,
    DecodeEvent,
    DecodePlan,
    ItemDecoded,
    MediaInfo,
    Medium,
    TextSource,
    TimedText,
)

DRAFT_SIDE = 3_000
"""A larger JPEG is decoded at 1/2, 1/4 or 1/8, with at least this many pixels on both sides."""

FRAMES_PER_SECOND = 1.0
"""Video frames are read at most at this rate: writing is shown for longer."""

FRAMES_PER_EVENT = 64
"""Sampled frames without a change between two events, which report that reading proceeds."""


def read_item(file: BinaryIO, plan: DecodePlan, info: MediaInfo) -> Iterator[DecodeEvent]:
    """Read the words of one item.

    Args:
        file: The open file.
        plan: `plan.words` selects writing and speech.
        info: The item.

    Yields:
        `DecodedTexts` and `DecodedSpeech` in order of time, then `ItemDecoded`.
    """
    if TextSource.OCR in plan.words and info.modality is Medium.IMAGE:
        yield from _read_image(file)
    if TextSource.OCR in plan.words and info.modality is Medium.VIDEO:
        yield from _read_frames(file, min(plan.sampling.frames_per_second, FRAMES_PER_SECOND))
    if TextSource.SPEECH in plan.words and info.modality is not Medium.IMAGE:
        yield from _read_sound(file, info.modality)
    yield ItemDecoded(info)  # embedding has reported damages


def _read_image(file: BinaryIO) -> Iterator[DecodeEvent]:
    writing = read_writing(read_image(file, draft_side=DRAFT_SIDE), load_engine())
    if writing.text:
        yield DecodedTexts((TimedText(TextSource.OCR, writing.text),))


def _read_frames(file: BinaryIO, rate: float) -> Iterator[DecodeEvent]:
    frames = FrameReader(load_engine())
    texts: list[TimedText] = []
    end = 0.0
    with open_video(file) as video:
        for number, (seconds, image) in enumerate(video.sample(rate)):
            read_before = frames.frames_read
            texts += frames.add(seconds, image)
            end = seconds + 1 / rate
            if frames.frames_read > read_before or number % FRAMES_PER_EVENT == 0:
                yield DecodedTexts(tuple(texts), seconds)
                texts.clear()
        if video.duration_seconds is not None:
            end = min(end, video.duration_seconds)
    yield DecodedTexts((*texts, *frames.finish(end)), end)


def _read_sound(file: BinaryIO, modality: Medium) -> Iterator[DecodeEvent]:
    try:
        with open_sound(file) as sound:
            for stretches in speech_stretches(sound.pieces(RATE_HZ)):
                for stretch in stretches:
                    yield DecodedSpeech(stretch.samples, stretch.start_seconds)
                yield DecodedTexts((), sound.seconds_read)
    except UnsupportedMediaError:
        if modality is not Medium.VIDEO:
            raise  # a video may have no sound
