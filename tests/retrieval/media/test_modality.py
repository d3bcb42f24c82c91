import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from retrieval.errors import UnsupportedMediaError
from retrieval.media.decode import decode
from retrieval.media.files import EXTENSIONS
from retrieval.media.modality import find_modality
from retrieval.media.sources.find import find_sources
from retrieval.types import (
    AudioWindows,
    DecodedChunk,
    DecodePlan,
    ImageGeometry,
    ItemDecoded,
    Medium,
)
from support.media_files import grey_frame, make_tone, sound_bytes, write_video
from support.timed_media import as_frame, write_mpeg2, write_sound, write_with_cover

PLAN = DecodePlan(
    images={"s": ImageGeometry(32, 32)},
    frames={"s": ImageGeometry(32, 32)},
    audio={"a": AudioWindows(16_000, 1.0, 1.0)},
)


def decoded(path: Path) -> tuple[list[DecodedChunk], ItemDecoded]:
    (source,) = find_sources([str(path)])
    *chunks, end = decode(source, PLAN, {})
    assert isinstance(end, ItemDecoded), end
    return [chunk for chunk in chunks if isinstance(chunk, DecodedChunk)], end


# ---------------------------------------------------------------- covers


@pytest.mark.parametrize("suffix", [".m4a", ".m4b", ".mka"])
def test_field_15_a_recording_with_a_cover_is_a_recording(tmp_path: Path, suffix: str) -> None:
    path = write_with_cover(tmp_path / f"a{suffix}", make_tone(3, 48_000))
    with av.open(str(path)) as container:
        assert not container.streams.video[0].disposition & av.stream.Disposition.attached_pic
    chunks, end = decoded(path)
    assert end.info.modality is Medium.AUDIO
    assert {chunk.medium for chunk in chunks} == {Medium.AUDIO}
    assert end.info.duration_seconds == pytest.approx(3, abs=0.1)


def test_field_15_a_video_named_as_a_recording_is_refused(tmp_path: Path) -> None:
    path = write_with_cover(tmp_path / "a.m4a", make_tone(3, 48_000), covers=3)
    with pytest.raises(UnsupportedMediaError, match=r"named \.m4a, but its content is a video"):
        find_modality(io.BytesIO(path.read_bytes()), "a.m4a")


def test_field_15_a_picture_without_sound_is_not_a_recording(tmp_path: Path) -> None:
    content = write_video(tmp_path / "a.mp4", [40]).read_bytes()
    with pytest.raises(UnsupportedMediaError, match="its content is a video"):
        find_modality(io.BytesIO(content), "a.m4a")


def test_field_15_one_picture_in_a_file_named_as_a_video_is_a_video(tmp_path: Path) -> None:
    path = write_with_cover(tmp_path / "a.m4a", make_tone(3, 48_000)).rename(tmp_path / "a.mp4")
    _, end = decoded(path)
    assert end.info.modality is Medium.VIDEO


# ---------------------------------------------------------------- formats


def write_recording(path: Path) -> Path:
    """Write three seconds of a tone in the format that a suffix names."""
    suffix = path.suffix[1:]
    if suffix in ("au", "caf", "w64", "rf64", "aiff", "aif", "wav", "flac"):
        kind = {"aif": "aiff"}.get(suffix, suffix).upper()
        path.write_bytes(sound_bytes(make_tone(3, 48_000), 48_000, kind=kind))
        return path
    codec, rate, kind = {
        "amr": ("libopencore_amrnb", 8_000, None),
        "wma": ("wmav2", 44_100, "asf"),
        "ac3": ("ac3", 48_000, None),
        "eac3": ("eac3", 48_000, None),
        "wv": ("wavpack", 48_000, None),
        "tta": ("tta", 48_000, None),
        "mka": ("flac", 48_000, None),
        "m4b": ("aac", 48_000, "mp4"),
        "m4a": ("aac", 48_000, "mp4"),
        "opus": ("libopus", 48_000, None),
        "oga": ("flac", 48_000, None),
        "aac": ("aac", 48_000, None),
        "mp2": ("mp2", 48_000, None),
    }[suffix]
    tone = make_tone(3, rate)
    if suffix == "wma":  # its encoder wants frames of 2,048 samples
        with av.open(str(path), "w", format="asf") as container:
            stream = container.add_stream(codec, rate=rate, layout="stereo")
            stream.codec_context.bit_rate = 128_000
            for first in range(0, len(tone) - 2_048, 2_048):
                part = as_frame(np.stack([tone[first : first + 2_048]] * 2), rate, "stereo")
                part.pts = first
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))
        return path
    return write_sound(path, tone, codec=codec, rate=rate, kind=kind)


RECORDINGS = [
    *("wav", "flac", "aif", "au", "caf", "w64", "rf64", "amr", "wma", "ac3", "eac3"),
    *("wv", "tta", "mka", "m4b", "opus", "oga", "aac", "mp2"),
]


@pytest.mark.parametrize("suffix", RECORDINGS)
def test_field_44_formats_of_recordings(tmp_path: Path, suffix: str) -> None:
    path = write_recording(tmp_path / f"a.{suffix}")
    assert find_modality(io.BytesIO(path.read_bytes()), "no extension") is Medium.AUDIO
    chunks, end = decoded(path)
    assert end.info.modality is Medium.AUDIO
    assert end.info.duration_seconds == pytest.approx(3, abs=0.15)
    samples = chunks[0].samples[1]
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert np.argmax(spectrum) == pytest.approx(440, abs=3)


def write_moving(path: Path) -> Path:
    """Write four seconds whose grey rises, in the format that a suffix names."""
    suffix = path.suffix[1:]
    levels = [2 * number for number in range(100)]
    if suffix in ("vob", "mpg", "mxf"):
        return write_mpeg2(path, levels)
    codec, kind = {
        "wmv": ("wmv2", "asf"),
        "asf": ("msmpeg4", "asf"),
        "flv": ("flv", None),
        "f4v": ("libx264", None),
        "3g2": ("libx264", "3g2"),
        "3gp": ("libx264", "3gp"),
        "mts": ("libx264", "mpegts"),
        "m2ts": ("libx264", "mpegts"),
        "ts": ("libx264", "mpegts"),
        "ogv": ("libvpx", "ogg"),
        "ogg": ("libvpx", "ogg"),
    }[suffix]
    options = {"mpegts_m2ts_mode": "1"} if suffix in ("mts", "m2ts") else {}
    with av.open(str(path), "w", format=kind, options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.bit_rate = 1_000_000
        for number, level in enumerate(levels):
            frame = av.VideoFrame.from_ndarray(grey_frame(level), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    "suffix", ["vob", "mpg", "mxf", "wmv", "asf", "flv", "f4v", "3g2", "3gp", "mts", "m2ts", "ogv"]
)
def test_field_44_formats_of_videos(tmp_path: Path, suffix: str) -> None:
    path = write_moving(tmp_path / f"a.{suffix}")
    assert find_modality(io.BytesIO(path.read_bytes()), "no extension") is Medium.VIDEO
    chunks, end = decoded(path)
    assert end.info.modality is Medium.VIDEO
    assert (end.info.width, end.info.height) == (64, 48)
    assert end.info.duration_seconds == pytest.approx(4, abs=0.2)
    frames = np.concatenate([chunk.samples for chunk in chunks])
    times = np.concatenate([chunk.start_seconds for chunk in chunks])
    np.testing.assert_array_equal(times[:8], np.arange(8) / 2)
    np.testing.assert_allclose(frames.mean(axis=(1, 2, 3))[:8], 25 * np.arange(8), atol=7)


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_field_44_an_animation_is_a_video(tmp_path: Path, kind: str) -> None:
    pictures = [Image.new("RGB", (40, 30), (level, level, level)) for level in (0, 80, 160, 240)]
    path = tmp_path / f"a.{kind.lower()}"
    options = {"lossless": True} if kind == "WEBP" else {}
    pictures[0].save(
        path, kind, save_all=True, append_images=pictures[1:], duration=[500, 1_000, 250, 250],
        **options,
    )  # fmt: skip
    chunks, end = decoded(path)
    assert end.info.modality is Medium.VIDEO
    assert (end.info.width, end.info.height, end.info.duration_seconds) == (40, 30, 2.0)
    (frames,) = chunks
    np.testing.assert_array_equal(frames.start_seconds, [0, 0.5, 1, 1.5])
    np.testing.assert_array_equal(frames.samples.mean(axis=(1, 2, 3)), [0, 80, 80, 160])


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_a_gif_or_webp_of_one_frame_is_an_image(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind.lower()}"
    Image.new("RGB", (40, 30), "red").save(path, kind)
    assert decoded(path)[1].info.modality is Medium.IMAGE


def test_field_44_delays_of_an_animation_are_bounded(tmp_path: Path) -> None:
    pictures = [Image.new("L", (8, 8), level) for level in (0, 255)]
    path = tmp_path / "a.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[650_000, 10])
    chunks, end = decoded(path)
    assert end.info.duration_seconds == pytest.approx(650.1)
    assert sum(len(chunk.samples) for chunk in chunks) < 200
    assert chunks[-1].samples[-1].mean() == 255
    assert "frames are repeated" in end.notes[0]


def test_field_44_a_truncated_animation_fails_or_is_reported(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    pictures = [Image.fromarray(generator.integers(0, 255, (30, 40), np.uint8)) for _ in range(8)]
    path = tmp_path / "a.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=500)
    path.write_bytes(path.read_bytes()[:-1])
    assert decoded(path)[1].notes == ("the animation has no end mark; the file may be cut",)


def test_field_44_every_suffix_in_the_table_is_in_the_docs() -> None:
    text = (Path(__file__).parents[3] / "docs/media.md").read_text()
    missing = [suffix for suffix in EXTENSIONS if f"`.{suffix}`" not in text]
    assert missing == []
