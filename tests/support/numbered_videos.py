"""Videos whose frames show their own numbers as bars, and whose sound clicks at known times."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 8
SIDE = 64
CLICK_HERTZ = 1_000


def numbered_frame(number: int, width: int = SIDE, height: int = SIDE) -> np.ndarray:
    """Draw a number as vertical bars, the lowest bit on the left: (height, width, 3) uint8.

    The lowest quarter is grey, which tells the frame's orientation.
    """
    edges = np.linspace(0, width, BITS + 1).round().astype(int)
    frame = np.full((height, width, 3), 128, np.uint8)
    for bit in range(BITS):
        level = 235 if number >> bit & 1 else 20
        frame[: height * 3 // 4, edges[bit] : edges[bit + 1]] = level
    return frame


def read_number(pixels: np.ndarray) -> int:
    """Read the number of a decoded frame, (height, width, 3) uint8."""
    height, width = pixels.shape[:2]
    edges = np.linspace(0, width, BITS + 1)
    foot = pixels[height * 7 // 8, width // 8 :: width // 4].astype(int)
    assert abs(foot - 128).max() < 40, "the frame is not upright"
    centres = ((edges[1:] + edges[:-1]) / 2).astype(int)
    levels = pixels[height // 3, centres].mean(axis=1)
    assert (abs(levels - 128) > 50).all(), levels
    return sum(1 << bit for bit, level in enumerate(levels) if level > 128)


def clicks(times: Sequence[float], seconds: float, rate: int = 48_000) -> np.ndarray:
    """Make silence with bursts of 20 ms at given times: (samples,) float32."""
    sound = np.zeros(round(seconds * rate), np.float32)
    burst = 0.8 * np.sin(2 * np.pi * CLICK_HERTZ * np.arange(rate // 50) / rate)
    for time in times:
        first = round(time * rate)
        sound[first : first + len(burst)] = burst[: len(sound) - first]
    return sound


def write_numbered(
    path: Path,
    frames: int,
    *,
    rate: Fraction | int = 25,
    gop: int = 30,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    size: tuple[int, int] = (SIDE, SIDE),
    times_ms: Sequence[int] | None = None,
    sound: np.ndarray | None = None,
    sound_rate: int = 48_000,
    sound_codec: str = "aac",
    layout: str = "mono",
    options: dict[str, str] | None = None,
    b_frames: int = 2,
    turn: int = 0,
    timecode: str | None = None,
) -> Path:
    """Write a video of numbered frames; `turn` sets its display matrix to that rotation."""
    defaults = {"libx264": {"preset": "ultrafast", "crf": "12", "sc_threshold": "0"},
                "libsvtav1": {"preset": "12", "crf": "20"},
                "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"}}  # fmt: skip
    with av.open(str(path), "w") as container:
        if timecode is not None:
            container.metadata["timecode"] = timecode
        video = container.add_stream(codec, rate=rate)
        video.width, video.height, video.pix_fmt = *size, pixels
        context = video.codec_context
        context.gop_size = gop
        if codec == "libx264":
            context.max_b_frames = b_frames
        if times_ms is not None:
            context.time_base = Fraction(1, 1_000)
        elif codec not in ("mpeg4", "mjpeg"):
            context.time_base = 1 / Fraction(rate)
        if codec not in ("libx264", "libsvtav1"):
            context.bit_rate = 2_000_000
        video.options = {**defaults.get(codec, {}), **(options or {})}
        if turn:
            video.set_display_rotation(turn)
        audio = None
        if sound is not None:
            audio = container.add_stream(sound_codec, rate=sound_rate, layout=layout)
        for number in range(frames):
            frame = turned_frame(number, size, turn).reformat(format=pixels)
            unit = 1 / Fraction(rate) if times_ms is None else Fraction(1, 1_000)
            frame.pts, frame.time_base = number if times_ms is None else times_ms[number], unit
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None and sound is not None:
            container.mux(audio.encode(sound_frame(sound, sound_rate, layout)))
            container.mux(audio.encode(None))
    return path


def turned_frame(number: int, size: tuple[int, int], turn: int) -> av.VideoFrame:
    """Draw a number so that it is upright after a turn to the left."""
    shown = numbered_frame(number, *(size if turn % 180 == 0 else size[::-1]))
    return av.VideoFrame.from_ndarray(
        np.ascontiguousarray(np.rot90(shown, -turn // 90)), format="rgb24"
    )


def sound_frame(sound: np.ndarray, rate: int, layout: str) -> av.AudioFrame:
    """Repeat mono sound in all channels of a layout."""
    channels = av.AudioLayout(layout).nb_channels
    packed = np.repeat(sound[:, np.newaxis], channels, axis=1).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(packed), format="flt", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    return frame


def read_frames(path: Path) -> list[tuple[float, int]]:
    """Decode a clip with PyAV alone: (seconds, number) of every frame."""
    with av.open(str(path)) as container:
        return [
            (float(frame.pts * frame.time_base), read_number(upright(frame)))
            for frame in container.decode(video=0)
        ]


def upright(frame: av.VideoFrame) -> np.ndarray:
    """Return RGB pixels as a player shows them."""
    return np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))


def read_sound(path: Path) -> tuple[np.ndarray, int, float]:
    """Decode the sound of a clip with PyAV: (channels, samples), rate, and its first time."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp", layout=stream.codec_context.layout)
        frames = list(container.decode(audio=0))
        first = float(frames[0].pts * frames[0].time_base)
        parts = [part.to_ndarray() for frame in frames for part in resampler.resample(frame)]
        return np.concatenate(parts, axis=1), stream.codec_context.sample_rate, first


def click_times(path: Path) -> list[float]:
    """Return when the bursts of a clip begin, on its own clock."""
    sound, rate, first = read_sound(path)
    loud = np.flatnonzero(abs(sound).max(axis=0) > 0.2)
    starts = loud[np.insert(np.diff(loud) > rate // 20, 0, True)] if len(loud) else loud
    return [first + start / rate for start in starts]
