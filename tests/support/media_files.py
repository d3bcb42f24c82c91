"""Makes small media files for tests: pictures, sounds, videos and tars, whole or broken."""

import io
import struct
import tarfile
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from PIL import Image


def make_picture(width: int = 64, height: int = 48, seed: int = 0) -> Image.Image:
    """Make a smooth colourful RGB picture, so that codecs and resizing change it little."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 255, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def make_tone(seconds: float, rate: int = 16_000, hertz: float = 440.0) -> np.ndarray:
    """Make a sine of amplitude 0.5: (samples,) float32."""
    times = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def sound_bytes(samples: np.ndarray, rate: int = 16_000, kind: str = "WAV", **options) -> bytes:
    """Encode sound by libsndfile; `kind` as soundfile names formats."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, **options)
    return buffer.getvalue()


def grey_frame(level: int, width: int = 64, height: int = 48) -> np.ndarray:
    """Make one frame of a single grey, which survives encoding and tells frames apart."""
    return np.full((height, width, 3), level, np.uint8)


def write_video(
    path: Path,
    levels: Iterable[int | np.ndarray],
    *,
    times_ms: Iterable[int] | None = None,
    rate: int = 10,
    gop: int = 10,
    codec: str = "libx264",
    sound: np.ndarray | None = None,
    sound_rate: int = 16_000,
) -> Path:
    """Write a video of grey frames (or of frames given as arrays).

    Args:
        path: Its suffix chooses the container.
        levels: One grey level 0 … 255, or one (height, width, 3) array, per frame.
        times_ms: When each frame begins, for variable rates and late starts.
        rate: Frames per second where `times_ms` is not given.
        gop: Frames from one keyframe to the next.
        codec: Encoder of the pictures.
        sound: (samples,) float32 mono; None for a silent video.
        sound_rate: Its sample rate.
    """
    frames = [grey_frame(one) if isinstance(one, int) else one for one in levels]
    stamps = list(times_ms) if times_ms is not None else [i * 1000 // rate for i in range(10**4)]
    with av.open(path, "w") as container:
        video = container.add_stream(codec, rate=rate)
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = "yuv420p"
        video.codec_context.gop_size = gop
        video.codec_context.time_base = Fraction(1, 1000)
        if codec == "libx264":
            video.options = {"preset": "veryfast", "sc_threshold": "0"}
        else:
            video.codec_context.bit_rate = 4_000_000  # else small steps of grey are lost
        audio = None
        if sound is not None:
            audio = container.add_stream("aac", rate=sound_rate, layout="mono")
        for array, stamp in zip(frames, stamps, strict=False):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None and sound is not None:
            block = av.AudioFrame.from_ndarray(sound[np.newaxis], format="fltp", layout="mono")
            block.rate = sound_rate
            container.mux(audio.encode(block))
            container.mux(audio.encode(None))
    return path


def write_m4a(path: Path, sound: np.ndarray, rate: int = 16_000) -> Path:
    """Write sound alone as AAC into an MP4 container."""
    with av.open(path, "w", format="mp4") as container:
        audio = container.add_stream("aac", rate=rate, layout="mono")
        block = av.AudioFrame.from_ndarray(sound[np.newaxis], format="fltp", layout="mono")
        block.rate = rate
        container.mux(audio.encode(block))
        container.mux(audio.encode(None))
    return path


def rotate_mp4(path: Path) -> Path:
    """Set an MP4's display matrix to a quarter turn clockwise, as telephones do."""
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of fields
    one, minus = (1 << 16).to_bytes(4, "big"), (0xFFFF0000).to_bytes(4, "big")
    zero, unit = bytes(4), (1 << 30).to_bytes(4, "big")
    content[matrix : matrix + 36] = b"".join([zero, one, zero, minus, zero, zero, zero, zero, unit])
    path.write_bytes(content)
    return path


def damage(path: Path, first: float, last: float, seed: int = 0) -> Path:
    """Overwrite a stretch of a file, given as shares of its length, with noise."""
    content = bytearray(path.read_bytes())
    start, end = int(first * len(content)), int(last * len(content))
    content[start:end] = np.random.default_rng(seed).bytes(end - start)
    path.write_bytes(content)
    return path


def picture_bytes(kind: str = "JPEG", seed: int = 0, **options) -> bytes:
    """Encode a small picture by Pillow."""
    buffer = io.BytesIO()
    make_picture(seed=seed).save(buffer, kind, **options)
    return buffer.getvalue()


def write_tar(path: Path, members: Mapping[str, bytes] | Iterable[tarfile.TarInfo | tuple]) -> Path:
    """Write a tar of (name, content) pairs, in order; a bare TarInfo is a link or device."""
    pairs = members.items() if isinstance(members, Mapping) else members
    with tarfile.open(path, "w") as tar:
        for member in pairs:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            name, content = member
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def write_dng(path: Path, level: int = 200, side: int = 64) -> Path:
    """Write a raw photograph: one grey seen through a mosaic of colour filters, 16 bits each."""
    pixels = np.full((side, side), level * 256, "<u2").tobytes()
    unit = struct.pack(
        "<9i", *(1 if row == column else 0 for row in range(3) for column in range(3))
    )
    identity = b"".join(unit[4 * i : 4 * i + 4] + struct.pack("<i", 1) for i in range(9))
    entries: list[tuple[int, int, int, bytes]] = [  # tag, type, count, value
        (254, 4, 1, struct.pack("<I", 0)),
        (256, 4, 1, struct.pack("<I", side)),
        (257, 4, 1, struct.pack("<I", side)),
        (258, 3, 1, struct.pack("<H", 16)),
        (259, 3, 1, struct.pack("<H", 1)),
        (262, 3, 1, struct.pack("<H", 32803)),
        (271, 2, 5, b"Test\0"),
        (272, 2, 5, b"Test\0"),
        (273, 4, 1, b""),  # where the pixels are; filled in below
        (277, 3, 1, struct.pack("<H", 1)),
        (278, 4, 1, struct.pack("<I", side)),
        (279, 4, 1, struct.pack("<I", len(pixels))),
        (33421, 3, 2, struct.pack("<HH", 2, 2)),
        (33422, 1, 4, bytes([0, 1, 1, 2])),
        (50706, 1, 4, bytes([1, 4, 0, 0])),
        (50708, 2, 5, b"Test\0"),
        (50717, 4, 1, struct.pack("<I", 65_535)),
        (50721, 10, 9, identity),
        (50728, 5, 3, struct.pack("<6I", 1, 1, 1, 1, 1, 1)),
        (50778, 3, 1, struct.pack("<H", 21)),
    ]
    start = 8 + 2 + 12 * len(entries) + 4
    extra = b""
    table = struct.pack("<H", len(entries))
    long_values = sum(len(value) for _, _, _, value in entries if len(value) > 4)
    for tag, kind, count, value in entries:
        if tag == 273:
            value = struct.pack("<I", start + long_values)
        if len(value) > 4:
            place = struct.pack("<I", start + len(extra))
            extra += value
            value = place
        table += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + table + bytes(4) + extra + pixels)
    return path
