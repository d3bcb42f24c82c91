"""Converts a span of a recording or video to fragmented MP4 (H.264 and AAC) while it is read.

This is the main code of a process: `python -m retrieval.serving.transcoder DESCRIPTOR OFFSET SIZE
START END`. It writes to standard output, and the reason of a failure as one line to standard error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any, BinaryIO

import av
import av.container
import av.logging
import numpy as np

from retrieval.files.spans import open_span
from retrieval.media.containers.reading import (
    audio_stream,
    decode_packet,
    open_container,
    origin_seconds,
    read_packets,
    video_stream,
)
from retrieval.media.damage import Damage

MAX_SIDE = 1280
MAX_RATE = 60
SAMPLE_RATE_HZ = 48_000
TIME_BASE = Fraction(1, 90_000)
KEYFRAME_SECONDS = 2
SAME_TIME = 1e-3

SEEK_MARGIN_SECONDS = 0.5
"""Seeking compares decoding times, which precede the times of frames."""

THREADS = 2
OPTIONS = {"preset": "veryfast", "crf": "23", "tune": "zerolatency"}
FRAGMENTS = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof",
    "flush_packets": "1",
}


class _Output:
    """Standard output as a file that cannot seek."""

    name = "stdout"

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]
        return len(data)


class _VideoTrack:
    """Encodes frames, upright and at most `MAX_SIDE` pixels wide and high."""

    def __init__(self, target: Any, rate: Fraction, first: av.VideoFrame) -> None:
        self._turns = round(first.rotation / 90) % 4
        width, height = first.width, first.height
        if self._turns % 2:
            width, height = height, width
        scale = min(1.0, MAX_SIDE / max(width, height))
        self._size = tuple(max(2, round(side * scale / 2) * 2) for side in (width, height))
        self.stream = target.add_stream("libx264", rate=rate, options=OPTIONS)
        self.stream.width, self.stream.height = self._size
        self.stream.pix_fmt = "yuv420p"
        context = self.stream.codec_context
        context.time_base = TIME_BASE
        context.gop_size = max(1, round(rate * KEYFRAME_SECONDS))
        context.thread_count = THREADS
        self._graph: Any = None
        self._last = -1
        self._before: av.VideoFrame | None = None

    def encode(self, frame: av.VideoFrame, seconds: float, end_seconds: float) -> list[Any]:
        """Encode a frame, or keep it until it is known to be shown at the beginning."""
        if seconds < 0:
            self._before = frame
            return []
        before, self._before = self._before, None
        packets = [] if before is None or seconds < SAME_TIME else self._encode(before, 0.0)
        return packets if seconds >= end_seconds else packets + self._encode(frame, seconds)

    def _encode(self, frame: av.VideoFrame, seconds: float) -> list[Any]:
        frame = self._fitted(frame)
        frame.pts = max(round(seconds / TIME_BASE), self._last + 1)
        self._last = frame.pts
        frame.time_base = TIME_BASE
        frame.pict_type = 0  # the encoder chooses its own keyframes
        packets: list[Any] = self.stream.encode(frame)
        return packets

    def flush(self) -> list[Any]:
        packets: list[Any] = self.stream.encode(None)
        return packets

    def _fitted(self, frame: av.VideoFrame) -> Any:
        if self._turns == 0:
            return frame.reformat(self._size[0], self._size[1], "yuv420p")
        if self._graph is None:
            self._graph = _turning_graph(frame, self._turns)
        self._graph.push(frame)
        return self._graph.pull().reformat(self._size[0], self._size[1], "yuv420p")


def _turning_graph(frame: av.VideoFrame, quarter_turns: int) -> Any:
    """Return a filter that turns frames counter-clockwise."""
    import av.filter

    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format,
        time_base=frame.time_base or TIME_BASE,
    )
    chain = [source]
    chain += [graph.add("transpose", "cclock") for _ in range(quarter_turns)]
    chain.append(graph.add("buffersink"))
    for before, after in pairwise(chain):
        before.link_to(after)
    graph.configure()
    return graph


class _SoundTrack:
    """Encodes sound as stereo AAC."""

    def __init__(self, target: Any) -> None:
        self.stream = target.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="stereo")
        self._resampler = av.AudioResampler(format="fltp", layout="stereo", rate=SAMPLE_RATE_HZ)
        self._position: int | None = None

    def encode(self, frame: av.AudioFrame, seconds: float, end_seconds: float) -> list[Any]:
        """Encode the samples of a frame that lie between 0 and the end."""
        packets: list[Any] = []
        if self._position is None:
            self._position = round(seconds * SAMPLE_RATE_HZ)
        for part in self._resampler.resample(frame):
            first = max(0, -self._position)
            last = min(part.samples, round(end_seconds * SAMPLE_RATE_HZ) - self._position)
            if first < last:
                samples = np.ascontiguousarray(part.to_ndarray()[:, first:last], np.float32)
                cut = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
                cut.rate = SAMPLE_RATE_HZ
                cut.pts, cut.time_base = self._position + first, Fraction(1, SAMPLE_RATE_HZ)
                packets += self.stream.encode(cut)
            self._position += part.samples
        return packets

    def flush(self) -> list[Any]:
        packets: list[Any] = self.stream.encode(None)
        return packets


def transcode(file: BinaryIO, output: Any, start: float, end: float) -> None:
    """Write the span [start, end) seconds of a file.

    Raises:
        MediaError, av.error.FFmpegError: The file cannot be read.
        ValueError: It has neither frames nor sound in the span.
    """
    damage = Damage()
    with open_container(file) as source:
        video, audio = video_stream(source), audio_stream(source)
        origin = origin_seconds(source)
        first = None if video is None else next(_frames(source, [video], damage), (None, None))[1]
        seek_to = max(0.0, start - SEEK_MARGIN_SECONDS) + origin
        source.seek(round(seek_to * av.time_base), backward=True)
        with av.open(output, "w", format="mp4", container_options=FRAGMENTS) as target:
            tracks: dict[int, Any] = {}
            if video is not None and first is not None:
                tracks[video.index] = _VideoTrack(target, _rate(video), first)
            if audio is not None:
                tracks[audio.index] = _SoundTrack(target)
            if not tracks:
                raise ValueError("neither video nor sound can be decoded")
            streams = [each for each in (video, audio) if each and each.index in tracks]
            frames = _frames(source, streams, damage)
            count = _encode(frames, tracks, target, origin + start, end - start)
    if not count:
        raise ValueError("it ends before the requested time")


def _encode(
    frames: Iterator[tuple[int, Any]],
    tracks: dict[int, Any],
    target: Any,
    offset: float,
    seconds: float,
) -> int:
    """Encode the frames from `offset` on until all tracks have the given length.

    Returns:
        Number of written packets.
    """
    open_tracks = set(tracks)
    count = 0
    for index, frame in frames:
        if frame.time is None or index not in open_tracks:
            continue
        time = frame.time - offset
        time = 0.0 if abs(time) < SAME_TIME else time
        packets = tracks[index].encode(frame, time, seconds)
        target.mux(packets)
        count += len(packets)
        if time >= seconds:
            open_tracks.discard(index)
            if not open_tracks:
                break
    for track in tracks.values():
        packets = track.flush()
        target.mux(packets)
        count += len(packets)
    return count


def _frames(
    source: av.container.InputContainer, streams: list[Any], damage: Damage
) -> Iterator[tuple[int, Any]]:
    for packet in read_packets(source, streams, damage):
        for frame in decode_packet(packet, damage):
            yield packet.stream_index, frame


def _rate(video: av.VideoStream) -> Fraction:
    rate = video.average_rate or video.guessed_rate
    return Fraction(25) if not rate or not 0 < rate <= MAX_RATE else Fraction(rate)


def main() -> None:
    """Run as a process."""
    av.logging.set_level(av.logging.PANIC)
    descriptor, offset, size = (int(text) for text in sys.argv[1:4])
    start, end = (float(text) for text in sys.argv[4:6])
    try:
        with open_span(descriptor, offset, size) as file:
            transcode(file, _Output(), start, end)
    except BrokenPipeError:
        os._exit(1)
    except Exception as error:
        sys.stderr.write((" ".join(str(error).split())[:300] or type(error).__name__) + "\n")
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
