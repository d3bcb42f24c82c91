"""Write FCPXML 1.8, the timelines of Final Cut Pro.

The adapter of OpenTimelineIO writes eight frame rates only, and rounds those of NTSC.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from retrieval.timelines.facts import editing_rate
from retrieval.types import Medium

if TYPE_CHECKING:
    from retrieval.timelines.edit_clips import EditClip

DEFAULT_SIZE = (1920, 1080)


def fcpxml(clips: Sequence[EditClip], title: str) -> str:
    """Return a document with one project, whose clips follow each other.

    Times in files are exact. A clip lasts a whole number of frames of the project, whose rate is
    that of the first clip or a multiple of it.
    """
    root = ElementTree.Element("fcpxml", version="1.8")
    resources = ElementTree.SubElement(root, "resources")
    rate = editing_rate(clips[0].rate)
    formats = _Formats(resources)
    size = next(
        ((c.facts.width, c.facts.height) for c in clips if c.facts.width and c.facts.height),
        DEFAULT_SIZE,
    )
    sequence_format = formats.find(rate, size)
    project = ElementTree.SubElement(root, "project", name=_plain(title) or "retrieval")
    sequence = ElementTree.SubElement(
        project, "sequence", format=sequence_format, tcStart="0s", tcFormat="NDF"
    )
    spine = ElementTree.SubElement(sequence, "spine")
    assets: dict[str, str] = {}
    offset = 0  # in frames of the project
    for clip in clips:
        if clip.url not in assets:
            assets[clip.url] = _add_asset(resources, clip, formats, f"a{len(assets) + 1}")
        frames = max(1, -(-clip.frames * rate // clip.rate))
        _add_clip(spine, clip, assets[clip.url], (_time(offset, rate), _time(frames, rate)))
        offset += int(frames)
    sequence.set("duration", _time(offset, rate))
    ElementTree.indent(root, "    ")
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{text}\n'


class _Formats:
    """The formats of a document, each once."""

    def __init__(self, resources: ElementTree.Element) -> None:
        self._resources = resources
        self._ids: dict[tuple[Fraction, tuple[int | None, int | None]], str] = {}

    def find(self, rate: Fraction, size: tuple[int | None, int | None]) -> str:
        """Return the id of a format, which is added if it is new."""
        if (rate, size) not in self._ids:
            name = f"f{len(self._ids) + 1}"
            self._ids[rate, size] = name
            element = ElementTree.SubElement(
                self._resources, "format", id=name, frameDuration=_frame_duration(rate)
            )
            if size[0] and size[1]:
                element.set("width", str(size[0]))
                element.set("height", str(size[1]))
        return self._ids[rate, size]


def _add_asset(
    resources: ElementTree.Element, clip: EditClip, formats: _Formats, asset_id: str
) -> str:
    facts = clip.facts
    asset_format = formats.find(clip.rate, (facts.width, facts.height))
    asset = ElementTree.SubElement(
        resources,
        "asset",
        id=asset_id,
        name=_plain(clip.name),
        src=clip.url,
        start=_time(clip.timecode_start, clip.rate),
        duration=_time(clip.file_frames, clip.rate),
        format=asset_format,
    )
    if facts.modality is not Medium.AUDIO:
        asset.set("hasVideo", "1")
    if facts.has_sound:
        asset.set("hasAudio", "1")
    return asset_id


def _add_clip(
    spine: ElementTree.Element, clip: EditClip, asset_id: str, place: tuple[str, str]
) -> None:
    offset, duration = place
    start = _time(clip.timecode_start + clip.start, clip.rate)
    if clip.facts.modality is Medium.IMAGE:
        element = ElementTree.SubElement(
            spine, "clip", name=_plain(clip.name), offset=offset, duration=duration, start="0s"
        )
        ElementTree.SubElement(element, "video", ref=asset_id, offset="0s", duration=duration)
    else:
        element = ElementTree.SubElement(
            spine,
            "asset-clip",
            ref=asset_id,
            name=_plain(clip.name),
            offset=offset,
            start=start,
            duration=duration,
        )
    if clip.moment.query:
        note = ElementTree.Element("note")
        note.text = _plain(f"{clip.moment.query} ({clip.moment.hit.rank})")
        element.insert(0, note)


def _time(frames: int | Fraction, rate: Fraction) -> str:
    """Return a number of frames as a rational number of seconds."""
    seconds = frames / rate
    if seconds.denominator == 1:
        return f"{seconds.numerator}s"
    return f"{frames * rate.denominator}/{rate.numerator}s"


def _frame_duration(rate: Fraction) -> str:
    return f"{rate.denominator}/{rate.numerator}s"


def _plain(text: str) -> str:
    """Replace what XML cannot hold."""
    return "".join(
        character if character >= " " and character not in "\ufffe\uffff" else " "
        for character in text.encode("utf-8", "replace").decode()
    )
