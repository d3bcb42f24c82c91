"""Read the subtitle tracks inside a video."""

from __future__ import annotations

from itertools import chain
from typing import Any

import av
import av.container
import av.error

from retrieval.media.containers.reading import origin_seconds, read_packets
from retrieval.media.damage import Damage
from retrieval.media.languages import language_code
from retrieval.media.transcripts.cues import MIN_CUE_SECONDS, clean_cue
from retrieval.types import TextSource, TimedText

TEXT_CODECS = frozenset(("subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"))
"""Codecs of subtitles that are texts; others are pictures."""

MAX_TRACKS = 16
_ASS_FIELDS_BEFORE_TEXT = 8

UNKNOWN_SECONDS = 5.0
"""Length of a cue whose end the file does not state."""


def read_tracks(container: av.container.InputContainer, damage: Damage) -> list[TimedText]:
    """Return the cues of all subtitle tracks that are texts, in order of time per track."""
    streams = [
        stream
        for stream in container.streams.subtitles
        if stream.codec_context is not None and stream.codec_context.name in TEXT_CODECS
    ][:MAX_TRACKS]
    if not streams:
        return []
    origin = origin_seconds(container)
    cues: dict[int, list[TimedText]] = {stream.index: [] for stream in streams}
    for packet in read_packets(container, list(streams), damage):
        if packet.pts is None or not packet.size:
            continue
        start = max(0.0, float(packet.pts * packet.time_base) - origin)
        length = float(packet.duration * packet.time_base) if packet.duration else UNKNOWN_SECONDS
        text = _packet_text(packet, damage)
        if text:
            language = language_code(packet.stream.metadata.get("language"))
            end = start + max(length, MIN_CUE_SECONDS)
            cue = TimedText(TextSource.TRANSCRIPT, text, start, end, language)
            cues[packet.stream.index].append(cue)
    for track in cues.values():
        track.sort(key=lambda cue: cue.start_seconds or 0.0)
    return list(chain.from_iterable(cues.values()))


def _packet_text(packet: av.Packet[Any], damage: Damage) -> str:
    """Decode one cue; the decoders of all text codecs return lines of ASS."""
    try:
        decoded = packet.decode()
    except (av.error.FFmpegError, ValueError):
        damage.add_packet()
        return ""
    parts = []
    for each in decoded:
        for rect in getattr(each, "rects", [each]):
            dialogue = getattr(rect, "ass", b"")
            fields = dialogue.split(b",", _ASS_FIELDS_BEFORE_TEXT)
            if len(fields) > _ASS_FIELDS_BEFORE_TEXT:
                text = fields[-1].decode("utf-8", "replace")
                parts.append(text.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " "))
    return clean_cue(" ".join(parts))
