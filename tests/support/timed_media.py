"""Makes recordings and videos whose time stamps, lengths or headers are odd."""

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from support.media_files import grey_frame, make_tone

Move = Callable[[float], float | None]
"""From a packet's time to the time it is written with, in seconds; None drops it."""


def make_noise(seconds: float, rate: int = 48_000) -> np.ndarray:
    """Make noise that no codec shrinks much: (samples,) float32."""
    generator = np.random.default_rng(0)
    return generator.uniform(-0.5, 0.5, round(seconds * rate)).astype(np.float32)


def noise_frames(count: int) -> list[np.ndarray]:
    """Make frames that take many bytes, so that half of a file's bytes are half of its time."""
    return [
        np.random.default_rng(number).integers(0, 255, (48, 64, 3), dtype=np.uint8)
        for number in range(count)
    ]


def as_frame(sound: np.ndarray, rate: int, layout: str = "mono") -> av.AudioFrame:
    """Wrap (samples,) or (channels, samples) float32 for an encoder."""
    frame = av.AudioFrame.from_ndarray(np.atleast_2d(sound), format="fltp", layout=layout)
    frame.rate = rate
    frame.pts, frame.time_base = 0, Fraction(1, rate)
    return frame


def write_sound(
    path: Path,
    sound: np.ndarray,
    *,
    codec: str = "aac",
    rate: int = 48_000,
    layout: str = "mono",
    move: Move = lambda seconds: seconds,
    kind: str | None = None,
    **options: str,
) -> Path:
    """Write a recording, its packets at other times or left out.

    Args:
        path: Its suffix chooses the container, unless `kind` does.
        sound: (samples,) or (channels, samples) float32.
        codec: Encoder.
        rate: Sample rate of the sound.
        layout: Its channels.
        move: Where each packet goes.
        kind: FFmpeg's name of a container.
        options: Of the container.
    """
    with av.open(str(path), "w", format=kind, options=options) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        for part in (as_frame(sound, rate, layout), None):
            for packet in stream.encode(part):
                if packet.pts is None or not packet.size:
                    container.mux(packet)
                    continue
                unit = float(packet.time_base)
                seconds = move(packet.pts * unit)
                if seconds is not None:
                    packet.pts = packet.dts = round(seconds / unit)
                    container.mux(packet)
    return path


def move_clusters(path: Path, move: Callable[[int], int]) -> Path:
    """Change the times of a Matroska's clusters, in milliseconds, as no muxer would write them."""
    content = bytearray(path.read_bytes())
    for found in re.finditer(
        rb"\x1f\x43\xb6\x75.{1,8}?\xe7([\x81-\x84])", bytes(content), re.DOTALL
    ):
        start, count = found.end(), found[1][0] - 0x80
        value = move(int.from_bytes(content[start : start + count], "big"))
        content[start : start + count] = value.to_bytes(count, "big")
    path.write_bytes(content)
    return path


def write_mp3(path: Path, sound: np.ndarray, rate: int = 44_100, *, xing: bool) -> Path:
    """Write an MP3 of variable bit rate, with or without the header that tells its length."""
    options = {"write_xing": str(int(xing)), "id3v2_version": "0"}
    with av.open(str(path), "w", format="mp3", options=options) as container:
        stream = container.add_stream("libmp3lame", rate=rate, layout="mono")
        stream.codec_context.qscale = True
        stream.codec_context.global_quality = 2 * 118
        for part in (as_frame(sound, rate), None):
            container.mux(stream.encode(part))
    return path


def write_mpeg2(
    path: Path, levels: Sequence[int], *, gop: int = 12, sound: np.ndarray | None = None
) -> Path:
    """Write MPEG-2 of 25 grey frames a second, as DVDs and cameras do; sound at 48 kHz."""
    return write_constant_rate(path, levels, codec="mpeg2video", gop=gop, sound=sound)


def write_constant_rate(
    path: Path,
    levels: Sequence[int],
    *,
    codec: str,
    pixels: str = "yuv420p",
    gop: int = 12,
    sound: np.ndarray | None = None,
    sound_codec: str = "mp2",
) -> Path:
    """Write 25 grey frames a second by an encoder of FFmpeg; sound at 48 kHz."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, pixels
        video.codec_context.gop_size = gop
        if codec == "mpeg2video":
            video.codec_context.max_b_frames = 2
            video.codec_context.bit_rate = 4_000_000
        audio = None
        if sound is not None:
            audio = container.add_stream(sound_codec, rate=48_000, layout="mono")
        for number, level in enumerate(levels):
            frame = av.VideoFrame.from_ndarray(grey_frame(level), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
            if audio is not None and sound is not None:
                part = sound[1_920 * number : 1_920 * (number + 1)]
                pcm = (part * 32_767).astype(np.int16)[np.newaxis]
                block = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
                block.rate, block.pts, block.time_base = 48_000, 1_920 * number, Fraction(1, 48_000)
                container.mux(audio.encode(block))
        container.mux(video.encode(None))
        if audio is not None:
            container.mux(audio.encode(None))
    return path


def write_hevc_avi(path: Path, levels: Sequence[int], *, gop: int = 12) -> Path:
    """Write HEVC of 25 grey frames a second in AVI, as some cameras do.

    The muxer of FFmpeg refuses it, although its demuxer reads it: the packets are written as H.264,
    and the name of the codec is replaced.
    """
    encoder = av.CodecContext.create("libx265", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 64, 48, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    parameters = f"bframes=0:keyint={gop}:repeat-headers=1:log-level=none"
    encoder.options = {"x265-params": parameters, "crf": "10"}
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number, level in enumerate([*levels, None]):
            frame = None
            if level is not None:
                frame = av.VideoFrame.from_ndarray(grey_frame(level), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
            for packet in encoder.encode(frame):
                packet.stream = video
                container.mux(packet)
    path.write_bytes(path.read_bytes().replace(b"H264", b"HEVC"))
    return path


def write_webm(path: Path, seconds: int) -> Path:
    """Write noise as VP8 with a tone as Opus, interleaved."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libvpx", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("libopus", rate=48_000, layout="mono")
        tone = make_tone(seconds, 48_000)
        for number, pixels in enumerate(noise_frames(10 * seconds)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(video.encode(frame))
            part = tone[np.newaxis, 4_800 * number : 4_800 * (number + 1)]
            block = av.AudioFrame.from_ndarray(part, format="flt", layout="mono")
            block.rate, block.pts, block.time_base = 48_000, 4_800 * number, Fraction(1, 48_000)
            container.mux(audio.encode(block))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


def write_with_cover(path: Path, sound: np.ndarray, covers: int = 1) -> Path:
    """Write an M4A or MKA whose cover is an ordinary track of pictures."""
    kind = "mp4" if path.suffix in (".m4a", ".m4b") else "matroska"
    with av.open(str(path), "w", format=kind) as container:
        audio = container.add_stream("aac", rate=48_000, layout="mono")
        codec, pixels = ("libx264", "yuv420p") if kind == "matroska" else ("mjpeg", "yuvj420p")
        video = container.add_stream(codec, rate=1)
        video.width, video.height, video.pix_fmt = 64, 48, pixels
        for number in range(covers):
            frame = av.VideoFrame.from_ndarray(grey_frame(100), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 1)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for part in (as_frame(sound, 48_000), None):
            container.mux(audio.encode(part))
    return path
