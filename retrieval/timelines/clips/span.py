"""Select the frames of a span of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from retrieval.media.video.reader import FrameSource

HELD_SECONDS = 0.25
"""A frame that is still shown this long after the start of a span belongs to the span."""


@dataclass(frozen=True, slots=True)
class ShownFrame:
    """A decoded frame and the half-open time in which a clip shows it.

    Attributes:
        picture: An `av.VideoFrame`, or an RGB image of an animation.
    """

    start_seconds: float
    end_seconds: float
    picture: Any


def tolerance(seconds: float) -> float:
    """Return the seconds within which two times are equal.

    Containers round times to a millisecond, and a collection stores them as float32.
    """
    return 1e-3 + abs(seconds) * 2**-23


def frames_between(
    source: FrameSource,
    start_seconds: float,
    end_seconds: float,
    on_skipped: Callable[[], None] = lambda: None,
) -> Iterator[ShownFrame]:
    """Yield the frames of a clip: those that begin in [start, end), in order of time.

    The last frame is shown in full unless it lasts beyond the end by more than `HELD_SECONDS`.
    A frame that begins before the span and is still shown `HELD_SECONDS` after its start, such as
    a slide, comes first. So does the one shown at the start if none begins within the span.

    Args:
        source: The video.
        start_seconds: Start of the span.
        end_seconds: End of the span.
        on_skipped: Called for each frame that is decoded and left out.
    """
    first = start_seconds - tolerance(start_seconds)
    last = end_seconds - tolerance(end_seconds) if end_seconds < float("inf") else end_seconds
    is_empty = True
    previous: tuple[float, Any] | None = None
    natural_end = 0.0
    for begin, duration, picture in source.frames_from(max(0.0, first)):
        natural_end = begin + duration
        if previous is not None:
            shown = _shown(previous, begin, (start_seconds, end_seconds), first, last)
            if shown is not None:
                is_empty = False
                yield shown
            else:
                on_skipped()
        elif begin > start_seconds + HELD_SECONDS:  # the first frame of the file is late
            previous = (start_seconds, picture)
            continue
        if begin >= last:
            return
        previous = (begin, picture)
    if previous is None:
        return
    if previous[0] >= first:
        end = _last_end(natural_end, end_seconds)
        yield ShownFrame(previous[0], end, previous[1])
    elif is_empty and source.end_seconds > first:  # the sound goes on after the last frame
        natural_end = max(natural_end, start_seconds + (natural_end - previous[0]))
        yield ShownFrame(start_seconds, _last_end(natural_end, end_seconds), previous[1])


def _shown(
    frame: tuple[float, Any], following: float, span: tuple[float, float], first: float, last: float
) -> ShownFrame | None:
    """Return a frame as a clip shows it until the following one; None if it is before the clip."""
    begin, picture = frame
    start_seconds, end_seconds = span
    if begin >= first:
        return ShownFrame(begin, _last_end(following, end_seconds), picture)
    is_only_one = following >= last and following > first
    if following > start_seconds + HELD_SECONDS or is_only_one:
        end = max(_last_end(following, end_seconds), start_seconds + tolerance(start_seconds))
        return ShownFrame(start_seconds, end, picture)
    return None


def _last_end(natural_end: float, end_seconds: float) -> float:
    return natural_end if natural_end <= end_seconds + HELD_SECONDS else end_seconds
