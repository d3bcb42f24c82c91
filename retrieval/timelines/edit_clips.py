"""The clips of a timeline: spans of files in frames."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from retrieval.errors import UnsupportedMediaError
from retrieval.timelines.clips.joining import STILL_SECONDS
from retrieval.timelines.facts import DEFAULT_RATE, MediaFacts, first_frame, read_facts
from retrieval.timelines.moments import Moment
from retrieval.timelines.names import one_line
from retrieval.timelines.options import ExportJob
from retrieval.timelines.playlists import file_url
from retrieval.types import Medium


@dataclass(frozen=True, slots=True)
class EditClip:
    """A span of a file in frames.

    Attributes:
        url: Address of the file.
        rate: Frames per second of all numbers.
        start: Number of the first frame; 0 is the file's first one.
        frames: Number of frames.
        file_frames: Frames of the whole file.
        timecode_start: Number that the file's time code gives to its first frame.
    """

    moment: Moment
    facts: MediaFacts
    url: str
    rate: Fraction
    start: int
    frames: int
    file_frames: int
    timecode_start: int = 0

    @property
    def has_picture(self) -> bool:
        """Whether it is shown in a video track."""
        return self.facts.modality is not Medium.AUDIO

    @property
    def name(self) -> str:
        """Name of the file, without characters that formats reserve."""
        return one_line(self.moment.file_name)

    def at_rate(self, rate: Fraction) -> EditClip:
        """Return the clip with all numbers at another rate, rounded to the nearest frame."""
        if rate == self.rate:
            return self
        factor = rate / self.rate
        start, end = round(self.start * factor), round((self.start + self.frames) * factor)
        return replace(
            self,
            rate=rate,
            start=start,
            frames=max(1, end - start),
            file_frames=max(end, start + 1, round(self.file_frames * factor)),
            timecode_start=round(self.timecode_start * factor),
        )


def edit_clips(job: ExportJob, *, pictures_only: bool) -> list[EditClip]:
    """Read the files of all moments; failures are recorded.

    Args:
        job: The export.
        pictures_only: Refuse recordings.
    """
    found: list[tuple[Moment, MediaFacts, str]] = []
    for moment in job.each():
        with job.failures_of(moment):
            url = file_url(moment.hit.uri)
            facts = job.worker.call(read_facts, moment.hit.uri)
            if pictures_only and facts.modality is Medium.AUDIO:
                raise UnsupportedMediaError("a recording; an EDL lists pictures, write .otio")
            found.append((moment, facts, url))
    rates = (facts.rate for _, facts, _ in found if facts.rate is not None)
    default = next(rates, DEFAULT_RATE)
    return [_clip(moment, facts, url, default) for moment, facts, url in found]


def _clip(moment: Moment, facts: MediaFacts, url: str, default_rate: Fraction) -> EditClip:
    rate = facts.rate or default_rate
    if facts.modality is Medium.IMAGE:
        frames = max(1, round(STILL_SECONDS * rate))
        return EditClip(moment, facts, url, rate, 0, frames, frames)
    start_seconds, end_seconds = moment.span
    declared = facts.seconds
    length = None if declared is None else max(1, round(declared * float(rate)))
    start = first_frame(start_seconds, rate)
    if end_seconds < math.inf:
        end = max(start + 1, first_frame(end_seconds, rate))
        end = end if length is None or length <= start else min(end, length)
    else:
        end = max(start + 1, length or 1)
    timecode = 0
    if facts.timecode is not None:
        timecode = _timecode_frames(facts.timecode, rate)
    return EditClip(moment, facts, url, rate, start, end - start, max(end, length or 0), timecode)


def _timecode_frames(timecode: str, rate: Fraction) -> int:
    from opentimelineio import opentime

    try:
        start: float = opentime.from_timecode(timecode, float(rate)).value
    except ValueError:  # no time code exists at this rate
        return 0
    return round(start)
