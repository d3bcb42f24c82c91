"""What fidelity tests share: difficult texts, pictures and sounds, and when vectors agree."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import ExifTags, Image

from retrieval.media.decode import decode
from retrieval.types import (
    AudioWindows,
    DecodedChunk,
    DecodePlan,
    ImageGeometry,
    ItemDecoded,
    Sampling,
    Source,
)
from support.media_files import make_picture, make_tone

TEXTS = (
    "",
    "a dog",
    "A DOG",
    "Two dogs are running across a beach, at sunset!",
    "naïve café, “it's” … Ça va? Straße, İstanbul",
    "東京タワー 🙂 Ещё раз",
    "  fish &amp; chips\n\t3.50  ",
    " ".join(f"word{number}" for number in range(300)),
)
"""Empty, upper case, marks, Unicode, white space, and 300 words."""


def assert_faithful(
    got: NDArray[np.floating], want: NDArray[np.floating], least: float = 0.9999
) -> None:
    """Rows agree: by their cosine, and by that of what tells them from the other rows.

    Random models give all inputs similar vectors. So the rows' mean is subtracted too, and the
    rest must agree as well; else a model that ignores its input would pass.
    """
    assert got.shape == want.shape
    assert np.isfinite(got).all()
    cosines = np.sum(_unit(got) * _unit(want), axis=1)
    assert cosines.min() >= least, cosines.round(6)
    if len(got) > 2:
        centre = _unit(want).mean(axis=0)
        own, others = _unit(got) - centre, _unit(want) - centre
        assert np.linalg.norm(others, axis=1).max() > 1e-3, "the inputs are all alike"
        told = np.linalg.norm(others, axis=1) > 1e-3
        centred = np.sum(_unit(own[told]) * _unit(others[told]), axis=1)
        assert centred.min() >= 1 - 30 * (1 - least), centred.round(6)


def _unit(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    exact = np.asarray(rows, np.float64)
    return np.asarray(exact / np.linalg.norm(exact, axis=1, keepdims=True), np.float64)


# ---------------------------------------------------------------- pictures


def write_pictures(folder: Path) -> dict[str, Path]:
    """Write one picture of each difficult kind."""
    colour = make_picture(200, 150, seed=1)
    deep = np.linspace(0, 65_535, 200 * 150).reshape(150, 200).astype(np.uint16)
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    kinds: dict[str, tuple[str, Image.Image, dict[str, object]]] = {
        "colour": ("png", colour, {}),
        "portrait": ("png", make_picture(97, 211, seed=2), {}),
        "grey": ("png", colour.convert("L"), {}),
        "palette": ("png", colour.convert("P", palette=Image.Palette.ADAPTIVE), {}),
        "bilevel": ("png", colour.convert("1"), {}),
        "cmyk": ("jpg", colour.convert("CMYK"), {"quality": 95}),
        "sixteen_bit": ("png", Image.fromarray(deep), {}),
        "rotated": ("jpg", colour, {"exif": turned, "quality": 95}),
        "one_pixel": ("png", Image.new("RGB", (1, 1), (200, 30, 90)), {}),
        "panorama": ("png", make_picture(2_000, 100, seed=3), {}),
        "transparent": ("png", _half_transparent(colour), {}),
        "large": ("jpg", make_picture(2_400, 1_800, seed=4), {"quality": 92}),
    }
    paths = {}
    for name, (suffix, picture, options) in kinds.items():
        paths[name] = folder / f"{name}.{suffix}"
        picture.save(paths[name], **options)
    return paths


def _half_transparent(picture: Image.Image) -> Image.Image:
    layer = picture.convert("RGBA")
    alpha = np.tile(np.linspace(0, 255, picture.width).astype(np.uint8), (picture.height, 1))
    layer.putalpha(Image.fromarray(alpha))
    return layer


def as_documented(path: Path) -> Image.Image:
    """A picture as the engine says it reads it, for libraries that read some kinds otherwise.

    Upright by EXIF, 16 bits by their high byte, transparency laid on white, and RGB before it is
    resized: Pillow resizes palettes and bilevel pictures without interpolation.
    """
    picture = Image.open(path)
    if picture.mode in ("P", "1"):
        return picture.convert("RGB")
    if path.stem == "rotated":
        return picture.transpose(Image.Transpose.ROTATE_270)
    if path.stem == "sixteen_bit":
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if path.stem == "transparent":
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture


def decoded_pictures(paths: Iterable[Path], geometry: ImageGeometry) -> NDArray[np.uint8]:
    """Decode pictures as `embed` does: (n, height, width, 3)."""
    plan = DecodePlan(images={"space": geometry})
    return np.concatenate([chunk.samples for path in paths for chunk in _chunks(path, plan)])


# ---------------------------------------------------------------- sounds and videos


def write_sounds(folder: Path) -> dict[str, Path]:
    """Write recordings of 8 to 96 kHz, mono and stereo, of 0.1 to 65 seconds."""
    rng = np.random.default_rng(0)
    paths = {}
    for rate, channels, seconds, hertz in (
        (8_000, 1, 0.1, 300.0),
        (16_000, 2, 3.0, 700.0),
        (22_050, 1, 9.99, 1_500.0),
        (44_100, 2, 10.0, 2_500.0),
        (48_000, 1, 12.3, 5_000.0),
        (96_000, 2, 65.0, 440.0),
    ):
        tone = make_tone(seconds, rate, hertz)
        noise = 0.05 * rng.standard_normal((len(tone), channels)).astype(np.float32)
        fade = np.linspace(1.0, 0.2, len(tone), dtype=np.float32)[:, np.newaxis]
        name = f"{rate}_{channels}_{seconds:g}"
        paths[name] = folder / f"{name}.wav"
        soundfile.write(paths[name], fade * tone[:, np.newaxis] + noise, rate, subtype="FLOAT")
    return paths


def plain_sound(path: Path, rate: int) -> NDArray[np.float32]:
    """A whole recording, mono, as users of the plain libraries read it."""
    import soxr

    samples, own_rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    return np.asarray(soxr.resample(mono, own_rate, rate), np.float32)


def decoded_windows(
    path: Path, windows: AudioWindows
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Decode a recording as `embed` does: windows, their starts and their lengths in seconds."""
    chunks = list(_chunks(path, DecodePlan(audio={"space": windows})))
    starts = np.concatenate([chunk.start_seconds for chunk in chunks])
    ends = np.concatenate([chunk.end_seconds for chunk in chunks])
    return np.concatenate([chunk.samples for chunk in chunks]), starts, ends - starts


def decoded_frames(
    path: Path, geometry: ImageGeometry, frames_per_second: float
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Decode a video's frames as `embed` does: times, and (n, height, width, 3)."""
    plan = DecodePlan(frames={"space": geometry}, sampling=Sampling(frames_per_second))
    chunks = list(_chunks(path, plan))
    return (
        np.concatenate([chunk.start_seconds for chunk in chunks]),
        np.concatenate([chunk.samples for chunk in chunks]),
    )


def _chunks(path: Path, plan: DecodePlan) -> Iterable[DecodedChunk]:
    for event in decode(Source(path.as_uri(), str(path)), plan, {}):
        if isinstance(event, DecodedChunk):
            yield event
        else:
            assert isinstance(event, ItemDecoded), event
