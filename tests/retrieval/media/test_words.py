import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from retrieval.media.decode import decode
from retrieval.media.ocr.engine import Line
from retrieval.types import (
    DecodedSpeech,
    DecodedTexts,
    DecodeEvent,
    DecodePlan,
    Failure,
    ItemDecoded,
    Medium,
    Source,
    TextSource,
    TimedText,
)
from support.media_files import picture_bytes, write_tar, write_video
from support.voices import RATE_HZ, silence, voice
from support.writing import page

OCR, SPEECH = TextSource.OCR, TextSource.SPEECH


def events(path: Path, *sources: TextSource) -> list[DecodeEvent]:
    plan = DecodePlan(words=frozenset(sources))
    return list(decode(Source(str(path), str(path), path.suffix == ".tar"), plan, {}))


def texts(path: Path, *sources: TextSource) -> list[TimedText]:
    found = events(path, *sources)
    return [text for event in found if isinstance(event, DecodedTexts) for text in event.texts]


@pytest.fixture
def levels(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """An engine that reads grey levels as words; the sizes of the pictures it reads."""
    sizes: list[tuple[int, int]] = []

    def read(pixels: np.ndarray) -> list[Line]:
        sizes.append((pixels.shape[1], pixels.shape[0]))
        level = round(float(pixels.mean()))
        if level > 250:
            raise ValueError("the engine broke")
        return [Line(f"grey {level // 20}", 1.0, 1.0, 1.0)] if level > 50 else []

    monkeypatch.setattr("retrieval.media.words.load_engine", lambda: read)
    return sizes


def test_a_picture_turned_by_its_tags_is_read_upright(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr")
    exif = Image.Exif()
    exif[274] = 6  # shown after a quarter turn clockwise
    turned = page("Platform nine").transpose(Image.Transpose.ROTATE_90)
    turned.convert("L").save(tmp_path / "page.jpg", exif=exif, quality=95)
    assert texts(tmp_path / "page.jpg", OCR) == [TimedText(OCR, "Platform nine")]


def test_video_frames_are_read_once_per_change(tmp_path: Path, levels) -> None:
    frames = [0] * 20 + [100] * 30 + [200] * 20
    write_video(tmp_path / "v.mp4", frames, sound=voice(7.0))
    spans = [
        (text.text, text.start_seconds, text.end_seconds) for text in texts(tmp_path / "v.mp4", OCR)
    ]
    assert [text for text, _, _ in spans] == ["grey 5", "grey 10"]
    np.testing.assert_allclose([span[1:] for span in spans], [[2, 5], [5, 7]], atol=0.2)
    assert len(levels) == 3


def test_only_requested_words_are_read_and_nothing_is_decoded_for_encoders(
    tmp_path: Path, levels
) -> None:
    write_video(tmp_path / "v.mp4", [100] * 60, sound=voice(6.0))
    kinds = {type(event) for event in events(tmp_path / "v.mp4", SPEECH)}
    assert kinds == {DecodedSpeech, DecodedTexts, ItemDecoded}
    assert levels == []


def test_speech_is_cut_out_of_silence(tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper")
    sound = np.concatenate([silence(4), voice(5), silence(8), voice(4, seed=1), silence(2)])
    soundfile.write(tmp_path / "s.flac", sound, RATE_HZ)
    found = events(tmp_path / "s.flac", SPEECH)
    speech = [event for event in found if isinstance(event, DecodedSpeech)]
    starts = np.array([one.start_seconds for one in speech])
    np.testing.assert_allclose(starts, [4, 17], atol=0.6)
    for one in speech:
        first = round(one.start_seconds * RATE_HZ)
        np.testing.assert_allclose(one.samples, sound[first : first + len(one.samples)], atol=1e-3)
    assert isinstance(found[-1], ItemDecoded)
    assert found[-1].info.modality is Medium.AUDIO


def test_a_silent_video_has_no_speech(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", [100] * 10)
    (end,) = events(tmp_path / "v.mp4", SPEECH)
    assert isinstance(end, ItemDecoded)


def test_members_of_a_tar_are_read_one_by_one_and_an_error_is_a_failure_of_one(
    tmp_path: Path, levels
) -> None:
    def picture(level: int) -> bytes:
        file = io.BytesIO()
        Image.new("RGB", (64, 64), (level,) * 3).save(file, "PNG")
        return file.getvalue()

    members = {
        "a.png": picture(100),
        "b.png": picture(255),
        "c.png": b"broken",
        "d.png": picture(0),
    }
    tar = write_tar(tmp_path / "t.tar", members | {"e.jpg": picture_bytes()[:-900]})
    found = events(tar, OCR)
    names = [event.uri if isinstance(event, Failure) else type(event).__name__ for event in found]
    assert names[:2] == ["DecodedTexts", "ItemDecoded"]
    assert names[2] == f"{tar}!b.png"
    broken = found[2]
    assert isinstance(broken, Failure)
    assert (broken.stage, broken.reason) == ("decode", "the engine broke")
    assert names[3] == f"{tar}!c.png"
    assert names[4] == "ItemDecoded"
