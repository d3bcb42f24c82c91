"""Whatever a decoder raises is one file's failure: the worker lives and the run goes on."""

import random
from pathlib import Path

import imagecodecs
import numpy as np
import pillow_heif
import pytest

from retrieval.media import decode as decode_module
from retrieval.media.decode import decode
from retrieval.media.sources.find import find_sources
from retrieval.media.workers.pool import decode_all
from retrieval.types import (
    AudioWindows,
    DecodedChunk,
    DecodePlan,
    Failure,
    ImageGeometry,
    ItemDecoded,
    Source,
)
from support.media_files import make_picture, make_tone, picture_bytes, sound_bytes, write_video
from support.timed_media import write_mp3, write_mpeg2, write_sound, write_webm

PLAN = DecodePlan(
    images={"s": ImageGeometry(32, 32)},
    frames={"s": ImageGeometry(32, 32)},
    audio={"a": AudioWindows(16_000, 1.0, 1.0)},
)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("avif53.avif", "image cannot be decoded"),
        ("mp481.mp4", "without video or audio that can be decoded"),
    ],
)
def test_field_30_files_that_killed_the_worker(real_data: Path, name: str, reason: str) -> None:
    sources = list(find_sources([str(real_data / "field" / name)]))
    events = list(decode_all(sources, PLAN, {}, workers=1))
    (failure,) = events
    assert isinstance(failure, Failure)
    assert failure.stage in ("open", "decode")
    assert reason in failure.reason


@pytest.mark.parametrize("error", [RuntimeError, AttributeError, AssertionError, KeyError, OSError])
def test_field_30_any_exception_of_a_decoder_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise error("two\nlines")

    monkeypatch.setattr(decode_module, "read_image_and_size", broken)
    path = tmp_path / "a.png"
    path.write_bytes(picture_bytes("PNG"))
    (failure,) = decode(Source(uri=str(path), path=str(path)), PLAN, {})
    assert isinstance(failure, Failure)
    assert failure.stage == "decode"
    assert "two" in failure.reason
    assert "\n" not in failure.reason


def write_samples(folder: Path) -> list[Path]:
    """Write one small file of every family of formats."""
    folder.mkdir()
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"):
        (folder / f"a.{kind.lower()}").write_bytes(picture_bytes(kind))
    frames = [make_picture(40, 30, seed) for seed in range(4)]
    for kind in ("gif", "webp"):
        frames[0].save(folder / f"moving.{kind}", save_all=True, append_images=frames[1:])
    pillow_heif.from_pillow(make_picture()).save(folder / "a.heic")
    (folder / "a.jxl").write_bytes(imagecodecs.jpegxl_encode(np.asarray(make_picture())))
    for kind in ("wav", "flac", "aiff", "au", "caf", "w64", "ogg"):
        (folder / f"a.{kind}").write_bytes(sound_bytes(make_tone(1.0), kind=kind.upper()))
    write_mp3(folder / "a.mp3", make_tone(1.0, 44_100), xing=True)
    for kind, codec in (("m4a", "aac"), ("aac", "aac"), ("ac3", "ac3"), ("tta", "tta"),
                        ("wv", "wavpack"), ("opus", "libopus"), ("mka", "flac")):  # fmt: skip
        container = "mp4" if kind == "m4a" else None
        write_sound(folder / f"a.{kind}", make_tone(1.0, 48_000), codec=codec, kind=container)
    for kind in ("mp4", "mkv", "ts", "flv"):
        codec = "flv" if kind == "flv" else "libx264"
        write_video(folder / f"v.{kind}", [40] * 10, codec=codec)
    write_video(folder / "v.avi", [40] * 10, codec="mpeg4")
    for kind in ("mpg", "mxf"):
        write_mpeg2(folder / f"v.{kind}", [40] * 25)
    write_webm(folder / "v.webm", 1)
    return sorted(folder.iterdir())


def mutate(content: bytes, number: int, chance: random.Random) -> bytes:
    """Damage a file: bytes anywhere, bytes of its header, its end, or a stretch of it."""
    changed = bytearray(content)
    if number % 4 == 0:
        for _ in range(chance.choice([1, 3, 10])):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
    elif number % 4 == 1:
        for _ in range(chance.choice([1, 3])):
            changed[chance.randrange(min(len(changed), 400))] = chance.choice([0, 127, 255])
    elif number % 4 == 2:
        del changed[chance.randrange(1, len(changed)) :]
    else:
        place = chance.randrange(len(changed))
        del changed[place : place + chance.randrange(1, 300)]
    return bytes(changed)


def test_field_30_mutated_files_of_every_format_kill_no_worker(tmp_path: Path) -> None:
    chance = random.Random(30)
    folder = tmp_path / "mutated"
    folder.mkdir()
    for path in write_samples(tmp_path / "samples"):
        for number in range(8):
            name = f"{path.stem}{number}{path.suffix}"
            (folder / name).write_bytes(mutate(path.read_bytes(), number, chance))
    sources = list(find_sources([str(folder)]))
    assert len(sources) > 250
    events = list(decode_all(sources, PLAN, {}, workers=1, timeout_seconds=60))
    failures = [event for event in events if isinstance(event, Failure)]
    items = [event for event in events if isinstance(event, ItemDecoded)]
    assert len(failures) + len(items) == len(sources)
    assert [failure for failure in failures if failure.stage not in ("open", "decode")] == []
    assert all(failure.reason and "\n" not in failure.reason for failure in failures)
    assert len(items) > 50
    chunks = [event for event in events if isinstance(event, DecodedChunk)]
    assert all(np.isfinite(chunk.samples).all() for chunk in chunks)
