from pathlib import Path

import numpy as np
import pytest
import soundfile

from retrieval.errors import DamagedMediaError
from retrieval.media.images.fitting import fit
from retrieval.training.pairs import media as span_media
from retrieval.training.pairs.manifest import CaptionedSpan, MediaSpan
from retrieval.training.pairs.media import AudioReader, ImageReader, SpanMedia, mean_vectors
from retrieval.types import AudioWindows, ImageGeometry
from support.media_files import make_picture, make_tone

GEOMETRY = ImageGeometry(32, 32)
WINDOWS = AudioWindows(8_000, 1.0, 1.0)


def captioned(*spans: MediaSpan) -> list[CaptionedSpan]:
    return [CaptionedSpan(span, ["x"], [number]) for number, span in enumerate(spans, start=1)]


@pytest.fixture
def ramp(tmp_path: Path) -> str:
    """4.5 s at 8 kHz whose samples tell their time: second / 10."""
    path = tmp_path / "ramp.wav"
    soundfile.write(path, np.arange(36_000) / 80_000, 8_000, subtype="FLOAT")
    return str(path)


def test_images_are_resized_as_in_collections(tmp_path: Path) -> None:
    make_picture(80, 60).save(tmp_path / "a.png")
    reader = ImageReader(GEOMETRY)
    decoded = reader.read(MediaSpan(str(tmp_path / "a.png")))
    np.testing.assert_array_equal(decoded, fit(make_picture(80, 60), GEOMETRY))
    assert reader.draw(decoded, np.random.default_rng(0)) is decoded
    with pytest.raises(DamagedMediaError, match="no start and end"):
        reader.read(MediaSpan(str(tmp_path / "a.png"), 1.0))


def test_a_span_contains_the_samples_between_its_times(ramp: str) -> None:
    reader = AudioReader(WINDOWS)
    span = reader.read(MediaSpan(ramp, 1.5, 3.0))
    np.testing.assert_allclose(span, np.arange(12_000, 24_000) / 80_000, atol=1e-6)
    assert len(reader.read(MediaSpan(ramp))) == 36_000
    assert len(reader.read(MediaSpan(ramp, 4.0, 60.0))) == 4_000
    with pytest.raises(DamagedMediaError, match="begins at 7 s, the recording ends before"):
        reader.read(MediaSpan(ramp, 7.0))


def test_windows_are_drawn_from_the_span_alone(ramp: str) -> None:
    reader = AudioReader(WINDOWS)
    span = reader.read(MediaSpan(ramp, 1.5, 4.5))
    rng = np.random.default_rng(0)
    drawn = [reader.draw(span, rng) for _ in range(20)]
    starts = [float(window[0]) * 10 for window in drawn]
    assert {len(window) for window in drawn} == {8_000}
    assert 1.5 <= min(starts) < 1.9
    assert 3.1 < max(starts) <= 3.5


def test_a_short_span_fills_its_window(ramp: str) -> None:
    reader = AudioReader(WINDOWS)
    span = reader.read(MediaSpan(ramp, 1.0, 1.4))
    window = reader.draw(span, np.random.default_rng(0))
    np.testing.assert_array_equal(window, np.concatenate([span, span, span[:1_600]]))


def test_views_cover_a_span_and_keep_their_length(ramp: str) -> None:
    reader = AudioReader(WINDOWS)
    views = reader.views(reader.read(MediaSpan(ramp, 1.0)))
    assert [len(view) for view in views] == [8_000, 8_000, 8_000, 4_000]
    assert [round(float(view[0]) * 10, 3) for view in views] == [1, 2, 3, 4]
    assert reader.fill(views[-1]).shape == (8_000,)
    assert len(reader.views(np.zeros(8_000 * 30, np.float32))) == span_media.MAX_VIEWS


def test_undecodable_spans_are_reported_and_removed(tmp_path: Path) -> None:
    make_picture().save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no picture")
    make_picture(seed=1).save(tmp_path / "c.png")
    spans = captioned(*(MediaSpan(str(tmp_path / name)) for name in ("a.png", "b.png", "c.png")))
    media = SpanMedia(list(spans), ImageReader(GEOMETRY))
    done: list[float] = []
    (bad,) = media.check(lambda *call: done.append(call[1]))
    assert bad.row == 2
    assert "b.png: not a readable image" in bad.reason
    assert media.spans == [spans[0], spans[2]]
    assert done == [1, 2, 3]


@pytest.mark.parametrize("max_bytes", [0, 4_000, 1 << 20])
def test_spans_are_decoded_in_the_given_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_bytes: int
) -> None:
    monkeypatch.setattr(span_media, "MAX_CACHED_BYTES", max_bytes)
    paths = [tmp_path / f"{n}.png" for n in range(5)]
    for number, path in enumerate(paths):
        make_picture(seed=number).save(path)
    reader = ImageReader(GEOMETRY)
    media = SpanMedia(captioned(*(MediaSpan(str(path)) for path in paths)), reader)
    media.check()
    order = [4, 0, 0, 3, 1, 2, 4] * 3
    for number, decoded in zip(order, media.decode(order), strict=True):
        np.testing.assert_array_equal(decoded, reader.read(MediaSpan(str(paths[number]))))


def test_a_file_that_vanishes_while_training_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(span_media, "MAX_CACHED_BYTES", 0)
    make_picture().save(tmp_path / "a.png")
    media = SpanMedia(captioned(MediaSpan(str(tmp_path / "a.png"))), ImageReader(GEOMETRY))
    assert media.check() == []
    (tmp_path / "a.png").unlink()
    with pytest.raises(DamagedMediaError, match=r"a\.png.*was readable when the training began"):
        next(media.decode([0]))


def test_the_vector_of_a_span_is_the_mean_of_its_views(ramp: str) -> None:
    media = SpanMedia(
        captioned(MediaSpan(ramp, 0.0, 2.0), MediaSpan(ramp, 2.0, 3.0)), AudioReader(WINDOWS)
    )
    media.check()

    def embed(views: list[np.ndarray]) -> np.ndarray:
        seconds = [round(float(view[0]) * 10) for view in views]
        return np.eye(4, dtype=np.float32)[seconds]

    vectors = mean_vectors(media, embed, batch_views=1)
    half = 0.5**0.5
    np.testing.assert_allclose(vectors, [[half, half, 0, 0], [0, 0, 1, 0]], atol=1e-6)


def test_sound_of_another_rate_is_resampled(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", make_tone(2.0), 16_000)
    assert len(AudioReader(WINDOWS).read(MediaSpan(str(tmp_path / "a.wav")))) == 16_000
