import io
import struct
from pathlib import Path

import pytest

from retrieval.media.containers.declared_size import (
    goes_on,
    next_matroska,
    ogg_has_end,
    promised_bytes,
)
from support.media_files import make_tone, sound_bytes, write_video
from support.timed_media import write_mp3, write_mpeg2, write_sound


def promised(content: bytes) -> int | None:
    return promised_bytes(io.BytesIO(content), len(content))


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU", "CAF", "W64", "RF64"])
def test_a_whole_recording_promises_what_it_has_and_a_cut_one_more(kind: str) -> None:
    content = sound_bytes(make_tone(2.0), kind=kind)
    assert promised(content) == pytest.approx(len(content), abs=16)
    assert promised(content[: len(content) // 2]) == promised(content)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "flv", "mxf", "mp3", "wav"])
def test_containers_of_ffmpeg(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "mxf":
        write_mpeg2(path, [40] * 50)
    elif suffix == "mp3":
        write_mp3(path, make_tone(2.0, 44_100), xing=True)
    elif suffix == "wav":
        write_sound(path, make_tone(2.0, 48_000), codec="pcm_s16le")
    else:
        codec = {"avi": "mpeg4", "flv": "flv"}.get(suffix, "libx264")
        write_video(path, [40] * 20, codec=codec)
    content = path.read_bytes()
    whole = promised(content)
    assert whole is not None
    if suffix != "mxf":  # its header says where the footer begins, not where that ends
        assert whole == pytest.approx(len(content), rel=0.02)
    assert (promised(content[: len(content) // 2]) or 0) > len(content) // 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RIFF",
        b"RIFF\xff\xff\xff\xffWAVEdata\xff\xff\xff\xff",
        b"\x1a\x45\xdf\xa3",
        b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff",
        b"\0\0\0\0ftyp",
        b"caff",
        b"FLV\x01",
        b"ID3",
        bytes.fromhex("060e2b34020501010d01020101") + b"\x02",
        b"OggS" * 10,
        b"plain text, which is no container at all",
    ],
)
def test_headers_that_are_cut_or_foreign_promise_nothing_beyond_them(content: bytes) -> None:
    found = promised(content)
    assert found is None or found <= len(content) + 16


def test_many_tiny_parts_are_not_walked_for_ever() -> None:
    boxes = struct.pack(">I4s", 8, b"ftyp") + struct.pack(">I4s", 8, b"free") * 200_000
    assert promised(boxes) is None


def test_a_wav_goes_on_only_behind_what_is_no_chunk() -> None:
    content = sound_bytes(make_tone(1.0))

    def goes(more: bytes) -> bool:
        return goes_on(io.BytesIO(content + more), len(content + more))

    assert not goes(b"")
    assert not goes(b"LIST" + struct.pack("<I", 4) + b"INFO")
    assert goes(b"\x01\x02\x03\x04\x05\x06\x07\x08" * 100)
    assert goes(content)


def test_the_end_of_an_ogg(tmp_path: Path) -> None:
    content = write_sound(tmp_path / "a.oga", make_tone(2.0, 48_000), codec="flac").read_bytes()
    assert ogg_has_end(io.BytesIO(content), len(content))
    for cut in (content[:-1], content[: len(content) // 2]):
        assert not ogg_has_end(io.BytesIO(cut), len(cut))


def test_the_next_matroska_is_found_across_blocks() -> None:
    magic = b"\x1a\x45\xdf\xa3"
    for place in (0, 5, (1 << 20) - 2, 1 << 20):
        content = bytes(7) + bytes(place) + magic
        assert next_matroska(io.BytesIO(content), 7) == 7 + place
    assert next_matroska(io.BytesIO(bytes(100)), 7) is None
