"""Read the picture of a moment: its middle frame, the image, or the shape of its sound."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from retrieval.errors import DamagedMediaError
from retrieval.media.audio.reader import open_sound
from retrieval.media.images.reading import read_image
from retrieval.media.video.reader import open_frames
from retrieval.timelines.clips.span import frames_between
from retrieval.timelines.source_files import open_source
from retrieval.types import Medium

WAVE_BARS = 96
WAVE_BACKGROUND, WAVE_COLOUR = (28, 34, 46), (116, 178, 232)

_MAX_WHOLE_SECONDS = 600.0
"""Sound of a whole file that is drawn."""


def read_still(
    uri: str, modality: Medium, span: tuple[float, float], size: tuple[int, int]
) -> Image.Image:
    """Return an RGB picture that fits into a size, both in pixels.

    Raises:
        MediaError: The file cannot be read.
    """
    with open_source(uri) as file:
        if modality is Medium.IMAGE:
            image = read_image(file, draft_side=max(size))
        elif modality is Medium.AUDIO:
            return draw_wave(_loudness(uri, span), size)
        else:
            start, end = span
            middle = start if math.isinf(end) else (start + end) / 2
            with open_frames(file, threads=0) as source:
                shown = next(frames_between(source, middle, middle), None)
                if shown is None:
                    raise DamagedMediaError("no frame at this time can be decoded")
                image = source.to_image(shown.picture)
    return fit_inside(image, size)


def fit_inside(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Scale a picture to fit into a size; both sides keep at least a pixel."""
    scale = min(size[0] / image.width, size[1] / image.height)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def draw_wave(loudness: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """Draw bars for the loudness of equal parts of time: (n,) floats from 0 to 1."""
    width, height = size
    image = Image.new("RGB", size, WAVE_BACKGROUND)
    pen = ImageDraw.Draw(image)
    step = width * 0.9 / len(loudness)
    for number, value in enumerate(loudness):
        half = max(1.0, float(value) * height * 0.38)
        left = width * 0.05 + number * step
        pen.rounded_rectangle(
            (left, height / 2 - half, left + max(1.0, step * 0.6), height / 2 + half),
            radius=step * 0.3,
            fill=WAVE_COLOUR,
        )
    return image


def _loudness(uri: str, span: tuple[float, float]) -> np.ndarray:
    """Return the peak of each of `WAVE_BARS` parts of a span, relative to the loudest one."""
    start, end = span[0], min(span[1], span[0] + _MAX_WHOLE_SECONDS)
    peaks = []
    with open_source(uri) as file, open_sound(file) as sound:
        for piece in sound.channels_between(start, end):
            samples = getattr(piece, "samples", 0)
            peak = np.zeros(samples) if isinstance(samples, int) else abs(samples).max(axis=1)
            peaks.append(peak)
    if not peaks or not sum(map(len, peaks)):
        raise DamagedMediaError("no sound in this span can be decoded")
    parts = np.array_split(np.nan_to_num(np.concatenate(peaks)), WAVE_BARS)
    bars = np.array([part.max(initial=0.0) for part in parts])
    return bars / max(float(bars.max()), 1e-6)
