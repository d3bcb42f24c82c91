"""Videos with subtitle tracks, chapters and tags."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av

SRT = (
    "1\n00:00:00,000 --> 00:00:01,500\nHallo <i>Welt</i>\n\n"
    "2\n00:00:01,500 --> 00:00:03,000\nzwei\nZeilen, ja\n"
)
VTT = "WEBVTT\n\n" + SRT.replace(",0", ".0").replace(",5", ".5")


def add_subtitles(video: Path, path: Path, *, suffix: str, language: str) -> Path:
    """Copy a video and add a track of subtitles."""
    subtitles = path.with_suffix(f".track.{suffix}")
    subtitles.write_text(VTT if suffix == "vtt" else SRT)
    with (
        av.open(video) as source,
        av.open(subtitles) as texts,
        av.open(path, "w") as target,
    ):
        (pictures,), (cues,) = source.streams.video, texts.streams.subtitles
        streams = {each: target.add_stream_from_template(each) for each in (pictures, cues)}
        streams[cues].metadata["language"] = language
        for container in (texts, source):
            for packet in container.demux():
                if packet.size:
                    packet.stream = streams[packet.stream]
                    target.mux(packet)
    subtitles.unlink()
    return path


def copy_with_tags(
    media: Path, path: Path, tags: Mapping[str, str], chapters: Mapping[str, tuple[int, int]] = {}
) -> Path:
    """Copy a recording or video with tags and with chapters, whose times are milliseconds."""
    with av.open(media) as source, av.open(path, "w") as target:
        target.metadata.update(tags)
        streams = {each: target.add_stream_from_template(each) for each in source.streams}
        target.set_chapters(
            [
                {"id": number, "start": start, "end": end, "time_base": Fraction(1, 1000),
                 "metadata": {"title": title}}
                for number, (title, (start, end)) in enumerate(chapters.items())
            ]
        )  # fmt: skip
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream]
                target.mux(packet)
    return path
