"""Lengths and times of recordings: what headers declare, and what the time stamps say."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from retrieval.errors import DamagedMediaError
from retrieval.media.audio.blocks import Gap
from retrieval.media.audio.reader import SoundReader, open_sound
from retrieval.media.audio.windows import cut_windows
from retrieval.types import AudioWindows
from support.media_files import grey_frame, make_tone, sound_bytes, write_video
from support.timed_media import (
    as_frame,
    make_noise,
    move_clusters,
    write_mp3,
    write_sound,
    write_webm,
)

RATE = 16_000


def read(file: io.BytesIO | Path) -> tuple[np.ndarray, SoundReader]:
    with open_sound(file if isinstance(file, io.BytesIO) else str(file)) as sound:
        return np.concatenate(list(sound.mono(RATE))), sound


def heard(samples: np.ndarray) -> list[tuple[float, float]]:
    """Spans of sound, in seconds, to a tenth."""
    tenths = samples[: len(samples) // 1_600 * 1_600].reshape(-1, 1_600)
    loud = (np.abs(tenths).max(axis=1) > 0.05).astype(int)
    edges = np.flatnonzero(np.diff(loud, prepend=0, append=0)) / 10
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def assert_heard(samples: np.ndarray, *spans: tuple[float, float]) -> None:
    found = heard(samples)
    assert len(found) == len(spans), found
    np.testing.assert_allclose(found, spans, atol=0.16)


# ---------------------------------------------------------------- declared lengths


@pytest.mark.parametrize("loud_first", [True, False])
def test_field_09_mp3_of_variable_rate_without_header(tmp_path: Path, loud_first: bool) -> None:
    loud, quiet = make_noise(6, 44_100), np.zeros(6 * 44_100, np.float32)
    parts = [loud, quiet] if loud_first else [quiet, loud]
    path = write_mp3(tmp_path / "a.mp3", np.concatenate(parts), xing=False)
    samples, sound = read(path)
    assert sound.seconds_read == pytest.approx(12.0, abs=0.1)
    assert_heard(samples, (0, 6) if loud_first else (6, 12))
    assert sound.damage.notes == []


@pytest.mark.parametrize("kind", ["mp3", "aac", "ac3", "opus", "flac", "ogg", "wav", "mka", "ts"])
def test_field_09_recordings_joined_byte_by_byte_are_read_to_the_end(
    tmp_path: Path, kind: str
) -> None:
    noise = make_noise(4)
    path = tmp_path / f"a.{kind}"
    if kind in ("flac", "ogg", "wav"):
        path.write_bytes(sound_bytes(noise, 48_000, kind=kind.upper()))
    elif kind == "mp3":
        write_mp3(path, make_noise(4, 44_100), xing=True)
    else:
        codec = {"mka": "libopus", "opus": "libopus", "ac3": "ac3"}.get(kind, "aac")
        write_sound(path, noise, codec=codec)
    path.write_bytes(2 * path.read_bytes())
    samples, sound = read(path)
    assert sound.seconds_read == pytest.approx(8.0, abs=0.15)
    assert np.abs(samples[5 * RATE : 7 * RATE]).mean() > 0.05


@pytest.mark.parametrize("length", [0, 0xFFFF_FFFF, 0x7FFF_FFFF, 1_000, 3_000_000])
def test_field_09_wav_whose_length_is_wrong(length: int) -> None:
    content = bytearray(sound_bytes(make_tone(3.0)))
    content[40:44] = struct.pack("<I", length)
    samples, sound = read(io.BytesIO(bytes(content)))
    assert sound.seconds_read == 3.0
    np.testing.assert_allclose(samples, make_tone(3.0), atol=1e-4)


def test_field_09_wav_of_a_recorder_that_was_stopped() -> None:
    content = bytearray(sound_bytes(make_tone(3.0)))
    content[4:8] = content[40:44] = bytes(4)
    assert read(io.BytesIO(bytes(content)))[1].seconds_read == 3.0


def test_chunks_after_the_sound_of_a_wav_are_not_read_as_sound() -> None:
    content = sound_bytes(make_tone(3.0))
    tail = b"LIST" + struct.pack("<I", 2_000) + b"INFO" + bytes(range(1, 255)) * 8
    assert read(io.BytesIO(content + tail[:2_008]))[1].seconds_read == 3.0


def test_field_14_flac_whose_header_declares_too_much_is_read_with_a_note() -> None:
    content = bytearray(sound_bytes(make_noise(3.0, RATE), RATE, kind="FLAC"))
    fields = int.from_bytes(content[21:26], "big")  # the low 36 bits count the samples
    content[21:26] = (fields + 3 * RATE).to_bytes(5, "big")
    _, sound = read(io.BytesIO(bytes(content)))
    assert sound.seconds_read == 3.0
    assert sound.damage.notes == ["the header declares 6.0 s, the file holds 3.0 s"]


@pytest.mark.parametrize("kind", ["mka", "m4a", "w64", "caf", "au", "rf64", "tta", "wv", "webm"])
def test_field_14_recordings_cut_in_half_fail(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    if kind in ("w64", "caf", "au", "rf64"):
        path.write_bytes(sound_bytes(make_noise(4, RATE), RATE, kind=kind.upper()))
    elif kind == "m4a":
        write_sound(path, make_noise(4), kind="mp4", movflags="faststart")
    else:
        codec = {"mka": "flac", "tta": "tta", "wv": "wavpack", "webm": "libopus"}[kind]
        write_sound(path, make_noise(4), codec=codec)
    content = path.read_bytes()
    assert read(path)[1].damage.notes == []
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DamagedMediaError, match=r"ends early .* of 4\.\d seconds can be read"):
        read(path)


def test_field_14_ogg_without_its_end_is_read_with_a_note(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.oga", make_noise(4), codec="flac")
    assert read(path)[1].damage.notes == []
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    (note,) = read(path)[1].damage.notes
    assert "the file may be cut" in note


def test_field_12_data_after_the_end_of_a_container_is_reported(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.m4a", make_noise(4), kind="mp4")
    content = path.read_bytes()
    path.write_bytes(content + b"\0\0\0\x08ftyp" + 700 * b"no file")
    _, sound = read(path)
    assert sound.seconds_read == pytest.approx(4.0, abs=0.05)
    (note,) = sound.damage.notes
    assert note.startswith("a joined part of 4,908 bytes is left out (")


@pytest.mark.parametrize("kind", ["m4a", "mka"])
@pytest.mark.parametrize("times", [2, 3])
def test_field_12_joined_recordings_are_read_to_the_end(
    tmp_path: Path, kind: str, times: int
) -> None:
    sound = np.concatenate([make_tone(3, 48_000), np.zeros(48_000, np.float32)])
    codec, container = ("aac", "mp4") if kind == "m4a" else ("flac", None)
    path = write_sound(tmp_path / f"a.{kind}", sound, codec=codec, kind=container)
    path.write_bytes(times * path.read_bytes())
    samples, reader = read(path)
    assert reader.seconds_read == pytest.approx(4 * times, abs=0.1 * times)
    assert len(samples) == pytest.approx(reader.seconds_read * RATE, abs=1_600)
    assert [round(begin) for begin, _ in heard(samples)] == [0, 4, 8][:times]
    assert reader.damage.notes == ["the clock of the file restarts; time goes on from there"]


def test_field_12_joined_recordings_of_different_rates_and_codecs(tmp_path: Path) -> None:
    sound = np.concatenate([make_tone(3, 48_000), np.zeros(48_000, np.float32)])
    first = write_sound(tmp_path / "a.mka", sound, codec="flac")
    slow = np.concatenate([make_tone(3, 22_050), np.zeros(22_050, np.float32)])
    second = write_sound(tmp_path / "b.mka", slow, rate=22_050, codec="aac")
    first.write_bytes(first.read_bytes() + second.read_bytes())
    samples, reader = read(first)
    assert reader.seconds_read == pytest.approx(8, abs=0.2)
    assert_heard(samples, (0, 3), (4, 7))


def test_field_12_a_joined_recording_that_is_cut_fails(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.mka", make_noise(4), codec="flac")
    content = path.read_bytes()
    path.write_bytes(content + content[: len(content) // 2])
    with pytest.raises(DamagedMediaError, match="ends early"):
        read(path)


# ---------------------------------------------------------------- time stamps


@pytest.mark.parametrize("kind", ["mkv", "mka", "m4a", "mp4", "mov", "ts", "flv", "webm"])
def test_field_10_a_gap_is_silence(tmp_path: Path, kind: str) -> None:
    sound = np.concatenate([make_tone(4, 48_000), make_tone(5, 48_000), make_tone(3, 48_000)])
    container = {"m4a": "mp4"}.get(kind)
    rate = 44_100 if kind == "flv" else 48_000
    path = write_sound(
        tmp_path / f"a.{kind}",
        sound[: 12 * rate],
        rate=rate,
        codec="libopus" if kind == "webm" else "aac",
        kind=container,
        move=lambda seconds: None if 4 <= seconds < 9 else seconds,
    )
    samples, reader = read(path)
    assert reader.seconds_read == pytest.approx(12, abs=1.2 if kind == "flv" else 0.1)
    assert heard(samples)[0] == pytest.approx((0, 4), abs=0.16)
    assert heard(samples)[1][0] == pytest.approx(9, abs=0.16)


def test_field_10_a_gap_in_the_sound_of_a_video(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "a.mkv", [40] * 120, sound=make_tone(12), sound_rate=16_000)
    path = tmp_path / "b.mkv"
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        streams = {one.index: target.add_stream_from_template(one) for one in source.streams}
        for packet in source.demux():
            heard_then = packet.stream.type == "audio" and packet.pts is not None
            if packet.dts is None or (heard_then and 4 <= packet.pts * packet.time_base < 9):
                continue
            packet.stream = streams[packet.stream_index]
            target.mux(packet)
    samples, _ = read(path)
    assert_heard(samples, (0, 4), (9, 12))


@pytest.mark.parametrize("codec", ["aac", "libmp3lame", "ac3"])
@pytest.mark.parametrize("lost", [(4, 9), (9, 9), (8, 12)])
def test_field_10_a_gap_in_the_sound_of_an_avi_is_reported(
    tmp_path: Path, codec: str, lost: tuple[int, int]
) -> None:
    """An AVI has no time stamps: only the pictures stored beside the sound tell of a gap."""
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream(codec, rate=44_100, layout="mono")
        packets = []
        for number in range(120):
            frame = av.VideoFrame.from_ndarray(grey_frame(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            packets += video.encode(frame)
        for part in (as_frame(make_tone(12, 44_100), 44_100), None):
            packets += audio.encode(part)
        packets = [one for one in [*packets, *video.encode(None)] if one.size]
        for packet in sorted(packets, key=lambda one: (one.pts or 0) * one.time_base):
            if packet.stream is video or not lost[0] <= packet.pts * packet.time_base < lost[1]:
                container.mux(packet)
    _, sound = read(path)
    if lost != (4, 9):  # nothing is missing, or the sound ends before the pictures
        assert sound.damage.notes == []
        return
    (note,) = sound.damage.notes
    assert "s of sound are missing; an AVI has no time stamps" in note
    assert float(note.split()[1]) == pytest.approx(5, abs=0.3)


@pytest.mark.parametrize("codec", ["aac", "libopus", "flac"])
def test_field_10_many_lost_packets_do_not_accumulate(tmp_path: Path, codec: str) -> None:
    lost = np.random.default_rng(0).permutation(600)[:150]
    sound = np.concatenate([make_tone(9, 48_000), np.zeros(48_000, np.float32)])
    sound = np.concatenate([sound, make_tone(2, 48_000)])
    path = write_sound(
        tmp_path / "a.mka",
        sound,
        codec=codec,
        move=lambda s: None if s < 8.5 and int(s * 50) in lost else s,
    )
    samples, _ = read(path)
    assert heard(samples)[-1] == pytest.approx((10, 12), abs=0.16)


def test_field_10_an_overlap_is_trimmed_and_reported(tmp_path: Path) -> None:
    sound = np.concatenate([make_tone(8, 48_000), np.zeros(3 * 48_000, np.float32)])
    sound = np.concatenate([sound, make_tone(2, 48_000)])
    path = write_sound(tmp_path / "a.mka", sound, codec="libopus", cluster_time_limit="500")
    move_clusters(path, lambda ms: ms if ms < 6_000 else ms - 2_000)
    samples, reader = read(path)
    first, second = heard(samples)
    assert 6 <= first[1] <= 6.6  # the first cluster that is moved begins there
    assert second == pytest.approx((9, 11), abs=0.16)
    assert reader.damage.notes[0].endswith(" s of sound overlap what comes before; left out")
    assert float(reader.damage.notes[0].split()[0]) == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("kind", ["mka", "mp4", "ts"])
def test_field_10_time_begins_at_the_first_stamp(tmp_path: Path, kind: str) -> None:
    sound = np.concatenate([np.zeros(48_000, np.float32), make_tone(2, 48_000)])
    path = write_sound(tmp_path / f"a.{kind}", sound, move=lambda seconds: seconds + 50)
    samples, reader = read(path)
    assert reader.seconds_read == pytest.approx(3, abs=0.1)
    assert_heard(samples, (1, 3))


@pytest.mark.parametrize("kind", ["mka", "mp4"])
def test_field_10_packets_before_zero(tmp_path: Path, kind: str) -> None:
    sound = np.concatenate([np.zeros(48_000, np.float32), make_tone(2, 48_000)])
    path = write_sound(
        tmp_path / f"a.{kind}",
        sound,
        move=lambda seconds: seconds - 0.5,
        avoid_negative_ts="disabled",
    )
    samples, _ = read(path)
    (span,) = heard(samples)
    assert span[1] - span[0] == pytest.approx(2, abs=0.16)
    assert span[0] in (pytest.approx(1, abs=0.16), pytest.approx(0.5, abs=0.16))


def test_field_07_a_gap_of_a_year_costs_no_work(tmp_path: Path) -> None:
    path = write_sound(
        tmp_path / "a.mka",
        make_tone(4, 48_000),
        codec="libopus",
        move=lambda seconds: seconds if seconds < 2 else seconds + 30_000_000,
    )
    with open_sound(str(path)) as sound:
        windows = list(cut_windows(sound.pieces(RATE), AudioWindows(RATE, 1.0, 1.0)))
    starts = [window.start_seconds for window in windows]
    assert starts[:2] == [0, 1]
    assert len(starts) <= 6
    assert starts[-1] == pytest.approx(30_000_003, abs=1.1)
    with pytest.raises(DamagedMediaError, match="a gap of 30,000,000 s, more than a file of"):
        read(path)


def test_gaps_keep_their_length_at_another_rate(tmp_path: Path) -> None:
    path = write_sound(
        tmp_path / "a.mka",
        make_tone(12, 48_000),
        codec="libopus",
        move=lambda seconds: None if 4 <= seconds < 9 else seconds,
    )
    with open_sound(str(path)) as sound:
        pieces = list(sound.pieces(22_050))
    (gap,) = [piece for piece in pieces if isinstance(piece, Gap)]
    assert gap.samples / 22_050 == pytest.approx(5, abs=0.1)
    total = sum(one.samples if isinstance(one, Gap) else len(one) for one in pieces)
    assert total == pytest.approx(sound.seconds_read * 22_050, abs=2)


def test_field_12_sound_continues_after_the_clock_restarts(tmp_path: Path) -> None:
    sound = np.concatenate([make_tone(1, 48_000), np.zeros(48_000, np.float32)])
    path = write_sound(tmp_path / "a.ts", np.tile(sound, 2))
    path.write_bytes(3 * path.read_bytes())
    samples, reader = read(path)
    assert reader.seconds_read == pytest.approx(12, abs=0.2)
    assert [round(begin) for begin, _ in heard(samples)] == [0, 2, 4, 6, 8, 10]
    assert reader.damage.notes == ["the clock of the file restarts; time goes on from there"]


def test_the_length_of_a_webm_is_kept(tmp_path: Path) -> None:
    samples, reader = read(write_webm(tmp_path / "a.webm", 4))
    assert_heard(samples, (0, 4))
    assert reader.damage.notes == []
