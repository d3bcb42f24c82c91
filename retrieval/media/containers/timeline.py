"""Map the time stamps of all streams of a file to one clock that never restarts.

The time stamps of recordings joined byte by byte (MPEG-TS, VOB, FLV), or of receivers that lose
their signal, jump back. Following every stream keeps audio and video in sync after such a jump.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import av.container
import numpy as np

from retrieval.media.containers.reading import (
    audio_stream,
    origin_seconds,
    read_packets,
    video_stream,
)
from retrieval.media.damage import Damage

_RESTARTING_FORMATS = frozenset(("mpegts", "mpeg", "flv", "ogg"))
"""Containers that are cut and joined byte by byte: any jump back is a restart of the clock."""

_JUMP_SECONDS = 0.5
"""A smaller step back is an overlap, or the order of decoding."""

_NEAR_START_SECONDS = 1.0
_FAR_SECONDS = 30.0
"""In other containers, a jump back is a restart if it ends near the start or is this long."""

_MAX_LEAP_SECONDS = 3_600.0
"""In `_RESTARTING_FORMATS`, a longer leap forward is a restart too."""


@dataclass(slots=True)
class _StreamPosition:
    """Position of one stream.

    Attributes:
        epoch: Number of restarts of the stream's clock.
        first: Decoding time of the epoch's first packet, by the file's own clock.
        last: Decoding time of the latest packet; None after a seek.
        end_seconds: Latest end of a packet, on the timeline.
    """

    epoch: int = 0
    first: float | None = None
    last: float | None = None
    end_seconds: float = 0.0


class Timeline:
    """Reads the packets of a file and shifts their time stamps to one continuous clock.

    Attributes:
        origin_seconds: Time stamp of the file's beginning.
        last_byte: Position in the file of the last packet's end.
    """

    def __init__(self, container: av.container.InputContainer, damage: Damage) -> None:
        self._container = container
        self._damage = damage
        self._has_no_stamps = container.format.name == "avi"
        self._restarts_often = container.format.name in _RESTARTING_FORMATS
        self._offsets = [0.0]  # seconds added to the stamps, by epoch
        self._positions: dict[int, _StreamPosition] = {}
        self._places: dict[int, list[tuple[int, float]]] = {}  # position and end of each packet
        self.origin_seconds = origin_seconds(container)
        self.last_byte = 0

    @property
    def restarts(self) -> int:
        """Number of restarts of the clock so far."""
        return len(self._offsets) - 1

    @property
    def end_seconds(self) -> float:
        """Latest end of a packet of any stream, in seconds from the origin."""
        return max((position.end_seconds for position in self._positions.values()), default=0.0)

    def lag_growth_seconds(self, stream: Any) -> float:
        """Return how far the packets of a stream fall behind those that are stored before them.

        AVI has no time stamps, so a gap in the sound shows only in the order of the bytes.
        """
        own = np.array(sorted(self._places.pop(stream.index, [])))
        other = np.array(sorted(place for places in self._places.values() for place in places))
        if not len(own) or not len(other):
            return 0.0
        before = np.searchsorted(other[:, 0], own[:, 0])
        reached = np.concatenate([[0.0], np.maximum.accumulate(other[:, 1])])[before]
        lags = reached - own[:, 1]
        return float(lags[-1] - lags.min())

    def extend_to(self, stream: Any, seconds: float) -> None:
        """Record the end of a stream's decoded content; its packets may lack time stamps."""
        position = self._positions.setdefault(stream.index, _StreamPosition())
        position.end_seconds = max(position.end_seconds, seconds)

    def after_seek(self) -> None:
        """Forget the last time stamps, because a seek is not a restart."""
        for position in self._positions.values():
            position.last = None

    def packets(self, stream: Any) -> Iterator[av.Packet[Any]]:
        """Yield a stream's packets from the current position, with shifted time stamps."""
        streams = [video_stream(self._container), audio_stream(self._container), stream]
        unique = list({each.index: each for each in streams if each is not None}.values())
        for packet in self._read(unique):
            if packet.stream_index == stream.index:
                yield packet

    def all_packets(self) -> Iterator[av.Packet[Any]]:
        """Yield the packets of the first video and audio stream, with shifted time stamps."""
        streams = [video_stream(self._container), audio_stream(self._container)]
        yield from self._read([stream for stream in streams if stream is not None])

    def _read(self, streams: list[Any]) -> Iterator[av.Packet[Any]]:
        for packet in read_packets(self._container, streams, self._damage):
            self._shift(packet)
            self.last_byte = max(self.last_byte, (packet.pos or 0) + packet.size)
            yield packet

    def _shift(self, packet: av.Packet[Any]) -> None:
        stamps = [stamp for stamp in (packet.dts, packet.pts) if stamp is not None]
        if not stamps or not packet.time_base:
            return
        unit = float(packet.time_base)
        # Frames are stored in decoding order, so without a decoding time a step back is normal.
        in_order = packet.dts is not None or packet.stream.type == "audio"
        now = stamps[0] * unit
        shown = stamps[-1]
        position = self._positions.setdefault(packet.stream_index, _StreamPosition())
        if position.first is None:
            position.first = now
        elif in_order and self._is_restart(now, position):
            position.epoch += 1
            position.first = now
            if position.epoch == len(self._offsets):
                self._offsets.append(self.end_seconds + self.origin_seconds - shown * unit)
                self._damage.note("the clock of the file restarts; time goes on from there")
        position.last = now if in_order else position.last
        offset = round(self._offsets[position.epoch] / unit)
        if offset:
            packet.pts = None if packet.pts is None else packet.pts + offset
            packet.dts = None if packet.dts is None else packet.dts + offset
        end = (shown + offset + (packet.duration or 0)) * unit - self.origin_seconds
        position.end_seconds = max(position.end_seconds, end)
        if self._has_no_stamps and packet.pos is not None and packet.size:
            self._places.setdefault(packet.stream_index, []).append((packet.pos, end))

    def _is_restart(self, now: float, position: _StreamPosition) -> bool:
        if position.last is None or position.first is None:
            return False
        back = position.last - now
        if self._restarts_often:
            return back > _JUMP_SECONDS or -back > _MAX_LEAP_SECONDS
        near_start = now <= position.first + _NEAR_START_SECONDS
        return back > _FAR_SECONDS or (back > _JUMP_SECONDS and near_start)
