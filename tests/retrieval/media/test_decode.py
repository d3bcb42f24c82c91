import hashlib
import io
import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval.media.audio.reader import SoundReader
from retrieval.media.decode import NO_ENCODER, decode
from retrieval.media.images.fitting import fit
from retrieval.media.modality import find_modality
from retrieval.media.sources.find import find_sources
from retrieval.types import (
    AudioWindows,
    DecodedChunk,
    DecodeEvent,
    DecodePlan,
    Failure,
    ImageGeometry,
    ItemDecoded,
    ItemUnchanged,
    KnownFile,
    Medium,
    Sampling,
    Source,
)
from support.media_files import (
    make_picture,
    make_tone,
    picture_bytes,
    sound_bytes,
    write_m4a,
    write_video,
)

SMALL, LARGE = ImageGeometry(32, 32), ImageGeometry(64, 64)
WINDOWS = AudioWindows(16_000, window_seconds=1.0, hop_seconds=1.0)
PLAN = DecodePlan(
    images={"small": SMALL, "large": LARGE}, frames={"small": SMALL}, audio={"sound": WINDOWS}
)


def events_of(path: Path, plan: DecodePlan = PLAN) -> list[DecodeEvent]:
    (source,) = find_sources([str(path)])
    return list(decode(source, plan, {}))


def failure_of(path: Path, plan: DecodePlan = PLAN) -> Failure:
    (failure,) = events_of(path, plan)
    assert isinstance(failure, Failure)
    assert "\n" not in failure.reason
    return failure


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# ---------------------------------------------------------------- whole items


def test_an_image_yields_one_chunk_per_space(tmp_path: Path) -> None:
    content = picture_bytes("PNG")
    path = write(tmp_path / "a.png", content)
    (tmp_path / "a.txt").write_text("a caption")
    small, large, end = events_of(path)
    assert isinstance(small, DecodedChunk)
    assert isinstance(large, DecodedChunk)
    assert (small.space, small.medium, small.start_seconds) == ("small", Medium.IMAGE, None)
    np.testing.assert_array_equal(small.samples, fit(make_picture(), SMALL)[np.newaxis])
    assert large.samples.shape == (1, 64, 64, 3)
    assert isinstance(end, ItemDecoded)
    info = end.info
    assert (info.modality, info.width, info.height) == (Medium.IMAGE, 64, 48)
    assert (info.bytes, info.caption) == (len(content), "a caption")
    assert info.mtime == path.stat().st_mtime
    assert info.sha256 == hashlib.sha256(content).hexdigest()


def test_a_recording_yields_windows_in_chunks(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", sound_bytes(make_tone(9.6)))
    *chunks, end = events_of(path)
    assert [chunk.samples.shape for chunk in chunks] == [(8, 16_000), (2, 16_000)]
    starts = np.concatenate([chunk.start_seconds for chunk in chunks])
    ends = np.concatenate([chunk.end_seconds for chunk in chunks])
    np.testing.assert_array_equal(starts, np.arange(10.0))
    np.testing.assert_array_equal(ends, [*np.arange(1.0, 10.0), 9.6])
    assert isinstance(end, ItemDecoded)
    assert (end.info.modality, end.info.duration_seconds) == (Medium.AUDIO, 9.6)


def test_spaces_of_one_sample_rate_share_one_pass_over_the_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.wav", sound_bytes(make_tone(30.6)))
    spaces = {
        "short": WINDOWS,
        "long": AudioWindows(16_000, window_seconds=2.5, hop_seconds=0.7),
        "other rate": AudioWindows(8_000, window_seconds=1.0, hop_seconds=1.0),
    }

    def windows_of(plan: DecodePlan) -> dict[str, list[np.ndarray]]:
        chunks = [event for event in events_of(path, plan) if isinstance(event, DecodedChunk)]
        return {
            space: [
                np.concatenate([getattr(chunk, name) for chunk in chunks if chunk.space == space])
                for name in ("samples", "start_seconds", "end_seconds")
            ]
            for space in plan.audio
        }

    alone = {}
    for space, windows in spaces.items():
        alone |= windows_of(DecodePlan(audio={space: windows}))
    rates = []
    read = SoundReader.pieces
    monkeypatch.setattr(
        SoundReader, "pieces", lambda sound, rate: (rates.append(rate), read(sound, rate))[1]
    )
    together = windows_of(DecodePlan(audio=spaces))
    assert rates == [16_000, 8_000]
    assert [len(parts[0]) for parts in together.values()] == [31, 42, 31]
    for space, parts in together.items():
        for found, expected in zip(parts, alone[space], strict=True):
            np.testing.assert_array_equal(found, expected)


def test_a_video_yields_frames_and_the_windows_of_its_sound(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [40] * 50, sound=make_tone(5.0))
    plan = replace(PLAN, sampling=Sampling(frames_per_second=8.0))
    events = events_of(path, plan)
    frames = [e for e in events if isinstance(e, DecodedChunk) and e.medium is Medium.VIDEO]
    sound = [e for e in events if isinstance(e, DecodedChunk) and e.medium is Medium.AUDIO]
    assert [chunk.samples.shape for chunk in frames] == [(32, 32, 32, 3), (8, 32, 32, 3)]
    times = np.concatenate([chunk.start_seconds for chunk in frames])
    np.testing.assert_array_equal(times, np.arange(40) / 8)
    assert sum(len(chunk.samples) for chunk in sound) == 5
    end = events[-1]
    assert isinstance(end, ItemDecoded)
    assert (end.info.modality, end.info.width, end.info.height) == (Medium.VIDEO, 64, 48)
    assert end.info.duration_seconds == pytest.approx(5.0, abs=0.1)


def test_silent_video_and_unwanted_sound_yield_no_windows(tmp_path: Path) -> None:
    silent = write_video(tmp_path / "silent.mp4", [40] * 10)
    loud = write_video(tmp_path / "loud.mp4", [40] * 10, sound=make_tone(1.0))
    plan = DecodePlan(frames={"small": SMALL}, audio={"sound": WINDOWS}, sound_of_videos=False)
    for events in (events_of(silent), events_of(loud, plan)):
        assert [type(event) for event in events] == [DecodedChunk, ItemDecoded]


def test_known_content_is_unchanged_at_any_modification_time(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", picture_bytes("PNG"))
    (source,) = find_sources([str(path)])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    known = {source.uri: KnownFile(item_id=3, bytes=1, mtime=0.0, sha256=digest)}
    assert list(decode(source, PLAN, known)) == [ItemUnchanged(source.uri)]
    path.write_bytes(picture_bytes("PNG", seed=1))
    assert isinstance(list(decode(source, PLAN, known))[-1], ItemDecoded)


@pytest.mark.parametrize(
    ("name", "content", "option"),
    [
        ("a.png", picture_bytes("PNG"), "no encoder for images; add one to the collection"),
        ("a.wav", sound_bytes(make_tone(1.0)), "no encoder for audio; add one to the collection"),
    ],
)
def test_modality_without_encoder_fails(
    tmp_path: Path, name: str, content: bytes, option: str
) -> None:
    failure = failure_of(write(tmp_path / name, content), DecodePlan())
    assert (failure.stage, failure.reason) == (NO_ENCODER, option)


def test_a_skipped_uri_yields_no_events(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", picture_bytes("PNG"))
    (source,) = find_sources([str(path)])
    touched: list[str] = []
    assert list(decode(source, PLAN, {}, skip={source.uri}, on_item=touched.append)) == []
    assert touched == []


def test_real_files_decode_without_a_failure(real_data: Path) -> None:
    patterns = ["photos/*.bmp", "photos/cat*.jpg", "music/1*.ogg", "videos/*.mkv", "videos/*.avi"]
    for source in find_sources([str(real_data / pattern) for pattern in patterns]):
        *chunks, end = decode(source, PLAN, {})
        assert isinstance(end, ItemDecoded), end
        assert end.damaged_packets == 0
        assert all(isinstance(chunk, DecodedChunk) for chunk in chunks)


# ---------------------------------------------------------------- bad and odd files


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.jpg", b"", "the file is empty"),
        ("page.jpg", b"<html>404</html>", "no image, recording or video that can be opened"),
        ("cut.jpg", picture_bytes("JPEG")[:-200], "image cannot be decoded"),
        ("cut.png", picture_bytes("PNG")[:-50], "image cannot be decoded"),
        ("tone.png", sound_bytes(make_tone(1.0)), "named .png, but its content is a recording"),
        ("picture.mp3", picture_bytes("JPEG"), "named .mp3, but its content is an image"),
        ("notes.mp4", b"just some text, long enough to be probed" * 50, "no image, recording"),
    ],
)
def test_fault_19_bad_file_fails_with_a_reason(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    path = write(tmp_path / name, content)
    failure = failure_of(path)
    assert reason in failure.reason
    assert failure.uri == str(path)
    assert (failure.bytes, failure.mtime) == (len(content), path.stat().st_mtime)


def test_fault_19_wrong_extension_of_the_same_modality_is_read(tmp_path: Path) -> None:
    assert isinstance(events_of(write(tmp_path / "a.png", picture_bytes("JPEG")))[-1], ItemDecoded)
    flac = sound_bytes(make_tone(1.0), kind="FLAC")
    assert isinstance(events_of(write(tmp_path / "a.mp3", flac))[-1], ItemDecoded)
    mkv = write_video(tmp_path / "a.mkv", [40] * 5).rename(tmp_path / "b.mp4")
    assert isinstance(events_of(mkv)[-1], ItemDecoded)


def test_fault_19_missing_file_folder_and_pipe_fail(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    for path, reason in [
        (tmp_path / "gone.jpg", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (pipe, "not a regular file"),
    ]:
        (failure,) = decode(Source(uri=str(path), path=str(path)), PLAN, {})
        assert isinstance(failure, Failure)
        assert reason in failure.reason


def test_fault_23_sound_only_video_is_a_recording(tmp_path: Path) -> None:
    end = events_of(write_m4a(tmp_path / "a.mp4", make_tone(2.0)))[-1]
    assert isinstance(end, ItemDecoded)
    assert end.info.modality is Medium.AUDIO


def test_fault_23_video_with_unreadable_sound_keeps_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retrieval.media import decode as module

    path = write_video(tmp_path / "a.mp4", [40] * 10, sound=make_tone(1.0))

    def fail(*_: object) -> None:
        raise OSError("broken sound")

    monkeypatch.setattr(module, "cut_windows", fail)
    frames, end = events_of(path)
    assert isinstance(frames, DecodedChunk)
    assert isinstance(end, ItemDecoded)
    assert end.damaged_packets == 1
    assert end.notes == ("sound left out: broken sound",)


def test_fault_24_addresses_in_a_playlist_open_no_socket(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n"
        script = f"ffconcat version 1.0\nfile '{address}'\n"
        for content in (playlist, script):
            for suffix in (".mp4", ".m3u8", ".ts"):
                path = tmp_path / f"a{suffix}"
                assert "no image, recording" in failure_of(write(path, content.encode())).reason
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_fault_27_strange_names_are_decoded(tmp_path: Path) -> None:
    recording, picture = sound_bytes(make_tone(1.0)), picture_bytes()
    video = write_video(tmp_path / "video.mp4", [40] * 5)
    folder = os.fsencode(tmp_path) + b"/strange"
    os.mkdir(folder)
    for stem in (b"a b", b"new\nline", b"quo\"te's", "🎵".encode(), b"\xff\xfe", b"http:", b"-x"):
        for extension, content in ((b".jpg", picture), (b".wav", recording)):
            with open(os.path.join(folder, stem + extension), "wb") as file:
                file.write(content)
        shutil.copyfile(os.fsencode(video), os.path.join(folder, stem + b".mp4"))
    sources = list(find_sources([os.fsdecode(folder)]))
    assert len(sources) == 21
    for source in sources:
        *_, end = decode(source, PLAN, {})
        assert isinstance(end, ItemDecoded), end


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (picture_bytes("WEBP"), Medium.IMAGE),
        (picture_bytes("AVIF"), Medium.IMAGE),
        (sound_bytes(make_tone(1.0)), Medium.AUDIO),
        (sound_bytes(make_tone(1.0), kind="MP3"), Medium.AUDIO),
        (sound_bytes(make_tone(1.0), kind="OGG"), Medium.AUDIO),
    ],
    ids=["webp", "avif", "wav", "mp3", "ogg"],  # the bytes of an Ogg differ from run to run
)
def test_the_modality_depends_on_the_content(content: bytes, expected: Medium) -> None:
    assert find_modality(io.BytesIO(content), "no extension") is expected
