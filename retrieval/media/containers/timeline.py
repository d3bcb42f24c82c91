"""One clock for all streams of a file, which goes on where the file's own clock restarts.

Recordings that are joined byte by byte (MPEG-TS, VOB, FLV), and receivers that lose their signal,
let the time stamps jump back. Every stream of a file is followed here, so that sound and pictures
go on at the same time after such a jump.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import av.container

from retrieval.media.containers.reading import (
    audio_stream,
    origin_seconds,
    read_packets,
    video_stream,
)
from retrieval.media.damage import Damage

_CLOCKS_THAT_RESTART = frozenset(("mpegts", "mpeg", "flv", "ogg"))
"""Containers that are cut and joined byte by byte: any jump back is another clock."""

_JUMP_SECONDS = 0.5
"""A smaller step back is an overlap, or the order of decoding."""

_NEAR_START_SECONDS = 1.0
_FAR_SECONDS = 30.0
"""In other containers a jump back is another clock if it ends near the start, or goes far."""

_MAX_LEAP_SECONDS = 3_600.0
"""A leap forward over more than this is another clock too, where clocks restart."""


@dataclass(slots=True)
class _Follower:
    """Where one stream is.

    Attributes:
        epoch: How many times the stream's clock restarted.
        first: Decoding time of the epoch's first packet, by the file's own clock.
        last: Decoding time of the latest packet; None after a seek.
        ends: Latest end of a packet, in seconds of the timeline.
    """

    epoch: int = 0
    first: float | None = None
    last: float | None = None
    ends: float = 0.0


class Timeline:
    """Reads the packets of a file and moves their stamps to one clock that never restarts.

    Attributes:
        origin_seconds: Time stamp of the file's beginning.
        restarts: How many times the clock restarted so far.
        last_byte: Where in the file the last packet ends.
    """

    def __init__(self, container: av.container.InputContainer, damage: Damage) -> None:
        self._container = container
        self._damage = damage
        self._can_restart = container.format.name in _CLOCKS_THAT_RESTART
        self._added = [0.0]  # seconds added to the stamps, by epoch
        self._followers: dict[int, _Follower] = {}
        self.origin_seconds = origin_seconds(container)
        self.last_byte = 0

    @property
    def restarts(self) -> int:
        """How many times the clock restarted so far."""
        return len(self._added) - 1

    @property
    def end_seconds(self) -> float:
        """Latest end of a packet of any stream, in seconds from the origin."""
        return max((one.ends for one in self._followers.values()), default=0.0)

    def reached(self, stream: Any, seconds: float) -> None:
        """Take note of where a stream ends that is decoded: its packets may bear no stamps."""
        follower = self._followers.setdefault(stream.index, _Follower())
        follower.ends = max(follower.ends, seconds)

    def sought(self) -> None:
        """Forget the positions: the container was moved on purpose."""
        for follower in self._followers.values():
            follower.last = None

    def packets(self, stream: Any) -> Iterator[av.Packet[Any]]:
        """Yield a stream's packets from here on, their stamps on the timeline."""
        streams = [video_stream(self._container), audio_stream(self._container), stream]
        followed = list({one.index: one for one in streams if one is not None}.values())
        for packet in read_packets(self._container, followed, self._damage):
            self._place(packet)
            self.last_byte = max(self.last_byte, (packet.pos or 0) + packet.size)
            if packet.stream_index == stream.index:
                yield packet

    def _place(self, packet: av.Packet[Any]) -> None:
        stamps = [stamp for stamp in (packet.dts, packet.pts) if stamp is not None]
        if not stamps or not packet.time_base:
            return
        unit = float(packet.time_base)
        # Pictures are stored in the order of decoding: without its time, a step back means nothing.
        in_order = packet.dts is not None or packet.stream.type == "audio"
        now = stamps[0] * unit
        shown = stamps[-1]
        follower = self._followers.setdefault(packet.stream_index, _Follower())
        if follower.first is None:
            follower.first = now
        elif in_order and self._is_restart(now, follower):
            follower.epoch += 1
            follower.first = now
            if follower.epoch == len(self._added):
                self._added.append(self.end_seconds + self.origin_seconds - shown * unit)
                self._damage.note("the clock of the file restarts; time goes on from there")
        follower.last = now if in_order else follower.last
        added = round(self._added[follower.epoch] / unit)
        if added:
            packet.pts = None if packet.pts is None else packet.pts + added
            packet.dts = None if packet.dts is None else packet.dts + added
        ends = (shown + added + (packet.duration or 0)) * unit - self.origin_seconds
        follower.ends = max(follower.ends, ends)

    def _is_restart(self, now: float, follower: _Follower) -> bool:
        if follower.last is None or follower.first is None:
            return False
        back = follower.last - now
        if self._can_restart:
            return back > _JUMP_SECONDS or -back > _MAX_LEAP_SECONDS
        near_start = now <= follower.first + _NEAR_START_SECONDS
        return back > _FAR_SECONDS or (back > _JUMP_SECONDS and near_start)
