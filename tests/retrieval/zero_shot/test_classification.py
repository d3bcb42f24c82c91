from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrieval.embedding.options import EmbedOptions
from retrieval.errors import DamagedMediaError, QueryError, SourceError
from retrieval.types import Failure, Medium
from retrieval.zero_shot.classification import (
    Classification,
    ClassifyReport,
    LabelSet,
    classify,
    embed_labels,
)
from support import embed_process
from support.media_files import grey_frame, make_tone, sound_bytes, write_video
from support.toy_encoder import ToyEncoder

BOTH = EmbedOptions(models=("toy:toy", "toy:toy-music"), workers=0)
COLOURS = ("red", "green", "blue")
PLAIN = dict.fromkeys(Medium, ("{}",))


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    embed_process.use_toys(monkeypatch.setattr)


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A red and a blue picture, a high tone, and a black video with a low tone."""
    folder = tmp_path / "media"
    folder.mkdir()
    Image.new("RGB", (20, 20), "red").save(folder / "a.png")
    Image.new("RGB", (20, 20), "blue").save(folder / "b.png")
    (folder / "c.wav").write_bytes(sound_bytes(make_tone(5.0, 8_000, 1_760.0), 8_000))
    write_video(folder / "d.mp4", [grey_frame(0)] * 30, sound=make_tone(3.0, hertz=110.0))
    return folder


def test_each_modality_gets_its_label(media: Path) -> None:
    labels = ("red", "blue", "black", "high", "low")
    results = list(classify([media], labels, BOTH))
    assert all(isinstance(result, Classification) for result in results)
    assert [(Path(r.uri).name, r.guesses[0].label, r.medium) for r in results] == [
        ("a.png", "red", Medium.IMAGE),
        ("b.png", "blue", Medium.IMAGE),
        ("c.wav", "high", Medium.AUDIO),
        ("d.mp4", "black", Medium.VIDEO),
    ]


def test_a_video_is_classified_by_its_sound_if_no_model_embeds_frames(media: Path) -> None:
    options = EmbedOptions(models=("toy:toy-music",), workers=0)
    (result,) = classify([media / "d.mp4"], ("high", "low"), options)
    assert (result.medium, result.guesses[0].label) == (Medium.AUDIO, "low")
    write_video(media / "mute.mp4", [grey_frame(0)] * 10)
    (failure,) = classify([media / "mute.mp4"], ("high", "low"), options)
    assert isinstance(failure, Failure)
    assert failure.reason.startswith("a video without audio")


def test_probabilities_are_a_softmax_over_all_labels(media: Path) -> None:
    (result,) = classify([media / "a.png"], COLOURS, BOTH, templates=PLAIN, k=2)
    encoder = ToyEncoder()
    pixels = np.asarray(Image.new("RGB", (16, 16), "red"))[None]
    scores = (encoder.encode_text(COLOURS) @ encoder.encode_images(pixels)[0]).astype(float)
    probabilities = np.exp(100 * scores) / np.exp(100 * scores).sum()
    order = np.argsort(-scores)[:2]
    assert [guess.label for guess in result.guesses] == [COLOURS[i] for i in order]
    np.testing.assert_allclose([g.score for g in result.guesses], scores[order], atol=1e-5)
    np.testing.assert_allclose(
        [g.probability for g in result.guesses], probabilities[order], rtol=1e-2
    )


def test_label_vectors_are_normalised_means_of_sentences() -> None:
    encoder = ToyEncoder()
    labels = embed_labels(encoder, COLOURS, ("{}", "a {} thing"))
    rows = encoder.encode_text(["green", "a green thing"]).mean(axis=0)
    np.testing.assert_allclose(labels.vectors[1], rows / np.linalg.norm(rows), atol=1e-6)
    assert labels.logit_scale == 100.0


def test_the_softmax_uses_the_logit_scale() -> None:
    vectors = np.eye(2, dtype=np.float32)
    query = np.array([0.8, 0.6], np.float32)
    for scale, want in ((1.0, 1 / (1 + np.exp(-0.2))), (50.0, 1 / (1 + np.exp(-10)))):
        best = LabelSet(("a", "b"), vectors, scale).best(query, 9)
        assert [guess.label for guess in best] == ["a", "b"]
        assert best[0].probability == pytest.approx(want, rel=1e-5)
        assert sum(guess.probability for guess in best) == pytest.approx(1)


def test_accuracy_with_true_labels_of_a_list(media: Path) -> None:
    lines = "file,kind,split\na.png,Red,1\nb.png,sea_green,1\n"
    (media / "list.csv").write_text(lines)
    labels = ("red", "blue", "sea green")
    report = ClassifyReport()
    for result in classify([media / "list.csv"], labels, BOTH, k=2, truth="kind"):
        report.count(result)
    assert (report.with_truth, report.correct, report.accuracy) == (2, 1, 0.5)
    assert report.seen == report.classified == 2


@pytest.mark.parametrize(
    ("column", "message"), [("colour", "the columns: kind"), ("kind", "'pink' is none of the 3")]
)
def test_missing_and_unknown_true_labels_fail(media: Path, column: str, message: str) -> None:
    (media / "list.csv").write_text("file,kind\na.png,pink\n")
    with pytest.raises(SourceError, match=message):
        list(classify([media / "list.csv"], COLOURS, BOTH, truth=column))


def test_fault_19_bad_files_are_counted_and_named(media: Path) -> None:
    (media / "bad.png").write_bytes(b"<html>")
    (media / "empty.jpg").touch()
    report = ClassifyReport()
    for result in classify([media], COLOURS, EmbedOptions(models=("toy:toy",), workers=0)):
        report.count(result)
    assert (report.classified, report.failed, report.without_encoder) == (3, 2, 1)
    assert {Path(failure.uri).name for failure in report.failures} == {"bad.png", "empty.jpg"}
    assert report.accuracy is None
    with pytest.raises(DamagedMediaError, match=r"bad\.png"):
        list(classify([media], COLOURS, EmbedOptions(models=("toy:toy",), workers=0, strict=True)))


def test_k_below_one_fails() -> None:
    with pytest.raises(QueryError, match="at least 1"):
        list(classify(["x"], COLOURS, BOTH, k=0))


def test_bundled_models_have_a_logit_scale() -> None:
    from retrieval.encoders.catalogue import load_encoder

    for name in ("tiny-image", "tiny-music"):
        labels = embed_labels(load_encoder(name, device="cpu"), ("a", "b"), ("{}",))
        assert 1 < labels.logit_scale <= 100.1


def test_field_06_bad_rows_of_a_list_are_failures_and_the_rest_is_judged(
    media: Path, tmp_path: Path
) -> None:
    table = tmp_path / "rows.jsonl"
    table.write_text('{"path": null}\n{"path": "media/a.png"}\n{"path": "media/gone.png"}\n')
    judged, gone, bad = classify([table], ("red", "blue"), BOTH)
    assert isinstance(judged, Classification)
    assert judged.guesses[0].label == "red"
    assert [failure.uri for failure in (gone, bad)] == [
        str(media / "gone.png"), f"{table}#row=1",
    ]  # fmt: skip
