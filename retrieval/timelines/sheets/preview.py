"""Export hits as one animated WebP that shows each moment briefly."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw

from retrieval.errors import DamagedMediaError
from retrieval.files.writing import partial_path
from retrieval.media.video.reader import frames_at
from retrieval.timelines.moments import Moment
from retrieval.timelines.options import ExportedFile, ExportJob
from retrieval.timelines.sheets.layout import BADGE, time_of
from retrieval.timelines.sheets.text import Pen
from retrieval.timelines.source_files import open_source
from retrieval.timelines.stills import fit_inside, read_still
from retrieval.types import Medium

SIZE = (480, 270)
LABEL_HEIGHT = 30
FRAMES_PER_SECOND = 8
MAX_SECONDS = 4.0
"""Time for which a moment is shown."""

STILL_SECONDS = 1.5
MAX_FRAMES = 800
"""Frames in all; with many hits each is shown for a shorter time."""


def export_preview(job: ExportJob) -> list[ExportedFile]:
    """Write an animation.

    Raises:
        StorageError: The file cannot be written.
    """
    limit = max(1, MAX_FRAMES // max(1, len(job.moments)))
    frames: list[Image.Image] = []
    delays: list[int] = []
    for moment in job.each():
        with job.failures_of(moment):
            if moment.hit.modality is Medium.VIDEO:
                count = min(limit, round(MAX_SECONDS * FRAMES_PER_SECOND))
                pictures = job.worker.call(read_frames, moment.hit.uri, moment.span, count)
                delay = round(1_000 / FRAMES_PER_SECOND)
            else:
                pictures = [
                    job.worker.call(
                        read_still, moment.hit.uri, moment.hit.modality, moment.span, SIZE
                    )
                ]
                delay = round(1_000 * STILL_SECONDS)
            frames += [_labelled(picture, moment) for picture in pictures]
            delays += [delay] * len(pictures)
    if not frames:
        return []
    with partial_path(job.out, replace=job.options.force) as partial, partial.open("r+b") as file:
        frames[0].save(
            file,
            "WEBP",
            save_all=True,
            append_images=frames[1:],
            duration=delays,
            loop=0,
            quality=72,
            method=2,
        )
    return [ExportedFile(job.out)]


def read_frames(uri: str, span: tuple[float, float], count: int) -> list[Image.Image]:
    """Return the pictures of the first seconds of a span, at a steady rate.

    Args:
        uri: A video.
        span: Start and end in seconds.
        count: Maximal number of pictures.
    """
    start, end = span
    seconds = count / FRAMES_PER_SECOND if math.isinf(end) else end - start
    number = min(count, max(1, math.ceil(seconds * FRAMES_PER_SECOND)))
    times = [start + index / FRAMES_PER_SECOND for index in range(number)]
    with open_source(uri) as file:
        pictures = [fit_inside(picture, SIZE) for _, picture in frames_at(file, times)]
    if not pictures:
        raise DamagedMediaError("no frame of this span can be decoded")
    return pictures


def _labelled(picture: Image.Image, moment: Moment) -> Image.Image:
    """Put a picture on a dark ground above its rank, time and name."""
    image = Image.new("RGB", (SIZE[0], SIZE[1] + LABEL_HEIGHT), BADGE)
    image.paste(picture, ((SIZE[0] - picture.width) // 2, (SIZE[1] - picture.height) // 2))
    draw = ImageDraw.Draw(image)
    parts = [str(moment.hit.rank), time_of(moment), moment.file_name]
    text = "  ·  ".join(part for part in parts if part)
    position = (10, SIZE[1] + LABEL_HEIGHT / 2)
    Pen(14).line(draw, position, text, colour=(235, 238, 244), width=SIZE[0] - 20)
    return image
