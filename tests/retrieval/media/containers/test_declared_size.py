import io
import struct
from pathlib import Path

import pytest

from retrieval.media.containers.declared_size import (
    declared_bytes,
    find_next_matroska,
    ogg_is_complete,
    wav_continues,
)
from support.media_files import make_tone, sound_bytes, write_video
from support.timed_media import write_mp3, write_mpeg2, write_sound


def declared(content: bytes) -> int | None:
    return declared_bytes(io.BytesIO(content), len(content))


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU", "CAF", "W64", "RF64"])
def test_complete_and_cut_recordings_declare_the_same_size(kind: str) -> None:
    content = sound_bytes(make_tone(2.0), kind=kind)
    assert declared(content) == pytest.approx(len(content), abs=16)
    assert declared(content[: len(content) // 2]) == declared(content)


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
    size = declared(content)
    assert size is not None
    if suffix != "mxf":  # its header says where the footer begins, not where that ends
        assert size == pytest.approx(len(content), rel=0.02)
    assert (declared(content[: len(content) // 2]) or 0) > len(content) // 2


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
def test_cut_or_foreign_headers_declare_nothing(content: bytes) -> None:
    size = declared(content)
    assert size is None or size <= len(content) + 16


def test_the_number_of_parts_is_limited() -> None:
    boxes = struct.pack(">I4s", 8, b"ftyp") + struct.pack(">I4s", 8, b"free") * 200_000
    assert declared(boxes) is None


def test_a_wav_continues_only_after_other_data_than_chunks() -> None:
    content = sound_bytes(make_tone(1.0))

    def continues(more: bytes) -> bool:
        return wav_continues(io.BytesIO(content + more))

    assert not continues(b"")
    assert not continues(b"LIST" + struct.pack("<I", 4) + b"INFO")
    assert continues(b"\x01\x02\x03\x04\x05\x06\x07\x08" * 100)
    assert continues(content)


def test_an_ogg_is_complete_up_to_its_last_page(tmp_path: Path) -> None:
    content = write_sound(tmp_path / "a.oga", make_tone(2.0, 48_000), codec="flac").read_bytes()
    assert ogg_is_complete(io.BytesIO(content), len(content))
    for cut in (content[:-1], content[: len(content) // 2]):
        assert not ogg_is_complete(io.BytesIO(cut), len(cut))


def test_the_next_matroska_is_found_across_blocks() -> None:
    magic = b"\x1a\x45\xdf\xa3"
    for place in (0, 5, (1 << 20) - 2, 1 << 20):
        content = bytes(7) + bytes(place) + magic
        assert find_next_matroska(io.BytesIO(content), 7) == 7 + place
    assert find_next_matroska(io.BytesIO(bytes(100)), 7) is None
