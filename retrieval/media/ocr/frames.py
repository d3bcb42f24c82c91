"""Read the writing in the frames of a video, once for each change."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retrieval.media.ocr.engine import Engine
from retrieval.media.ocr.reading import Writing, read_writing
from retrieval.types import TextSource, TimedText

COMPARED_WIDTH = 320
BLOCK = 8
"""Frames are compared in grey, at this width, in blocks of this many pixels on a side."""

CHANGED_GREY_LEVELS = 10.0
"""A frame is read if the grey levels of one block differ by more than this on average."""

SIMILAR_SHARE = 0.8
"""Two lines with this share of equal characters are the same writing, read with errors."""

NO_WRITING = Writing("", 0.0)


class FrameReader:
    """Turns sampled frames into one text per stretch of equal writing.

    Args:
        engine: Reads the lines of one picture.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._last_image: Image.Image | None = None
        self._compared: NDArray[np.float32] | None = None  # of the frame that was read last
        self._writing = NO_WRITING
        self._start_seconds = 0.0
        self.frames_read = 0

    def add(self, seconds: float, image: Image.Image) -> Iterator[TimedText]:
        """Add the next frame in order of time, and yield the text that ends before it."""
        if not self._has_changed(image):
            return
        self.frames_read += 1
        writing = read_writing(image, self._engine)
        if is_same_writing(writing.text, self._writing.text):
            self._writing = max(self._writing, writing, key=lambda one: one.score)
            return
        yield from self.finish(seconds)
        self._writing, self._start_seconds = writing, seconds

    def finish(self, end_seconds: float) -> Iterator[TimedText]:
        """Yield the last text, which is shown until the given time."""
        text, start = self._writing.text, self._start_seconds
        self._writing = NO_WRITING
        if text and start < end_seconds:
            yield TimedText(TextSource.OCR, text, start, end_seconds)

    def _has_changed(self, image: Image.Image) -> bool:
        """Whether a frame differs from the one that was read last."""
        if image is self._last_image:  # a repeated frame
            return False
        self._last_image = image
        grey = _small_grey(image)
        if self._compared is not None and self._compared.shape == grey.shape:
            difference = _block_means(np.abs(grey - self._compared))
            if difference.max() <= CHANGED_GREY_LEVELS:
                return False
        self._compared = grey
        return True


def is_same_writing(first: str, second: str) -> bool:
    """Whether two readings have the same lines, apart from errors in single letters."""
    if first == second:
        return True
    lines, others = _folded_lines(first), _folded_lines(second)
    return all(any(_is_same_line(a, b) for b in others) for a in lines) and all(
        any(_is_same_line(a, b) for a in lines) for b in others
    )


def _folded_lines(text: str) -> list[str]:
    """Return the letters and digits of each line."""
    lines = ("".join(filter(str.isalnum, line.casefold())) for line in text.split("\n"))
    return [line for line in lines if line]


def _is_same_line(first: str, second: str) -> bool:
    if first == second:
        return True
    # A counter changes one digit, which is no error.
    if [c for c in first if c.isdigit()] != [c for c in second if c.isdigit()]:
        return False
    return difflib.SequenceMatcher(None, first, second).ratio() >= SIMILAR_SHARE


def _small_grey(image: Image.Image) -> NDArray[np.float32]:
    """Return a small grey copy, (height, COMPARED_WIDTH) or smaller."""
    height = min(COMPARED_WIDTH, max(1, round(COMPARED_WIDTH * image.height / image.width)))
    small = image.convert("L").resize((COMPARED_WIDTH, height), Image.Resampling.BOX)
    return np.asarray(small, np.float32)


def _block_means(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average blocks of pixels; incomplete blocks at the edges are padded with zeros."""
    rows, columns = (-(-length // BLOCK) for length in values.shape)
    padded = np.zeros((rows * BLOCK, columns * BLOCK), np.float32)
    padded[: values.shape[0], : values.shape[1]] = values
    means: NDArray[np.float32] = padded.reshape(rows, BLOCK, columns, BLOCK).mean(axis=(1, 3))
    return means
