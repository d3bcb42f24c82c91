import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.speed import picture_rows
from benchmarks.speed.own_rows import OwnRows
from benchmarks.speed.picture_rows import (
    Pictures,
    describe_model,
    read_pictures,
    train_adapter,
    views,
    write_rows,
)
from retrieval.encoders.catalogue import load_encoder
from retrieval.errors import SourceError, UnknownModelError
from retrieval.protocols import Encoder

SIDE = 64


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("tiny-image", device="cpu")


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> Pictures:
    """Five pictures of noise, of which two are photographs."""
    monkeypatch.setattr(picture_rows, "SEED_ROWS", 16)
    rng = np.random.default_rng(0)
    sizes = [(72, 72)] * 3 + [(200, 150), (90, 256)]
    images = [Image.fromarray(rng.integers(0, 255, (*size, 3), np.uint8)) for size in sizes]
    texts = ["a red circle", "a cat", "a blue square", "a cat"]
    return Pictures(images, 2, [(Path("x.png"), text) for text in texts])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder like that of real pictures."""
    for folder, names in (
        ("emoji/png/72", ["emoji_u1f600.png", "emoji_u1f601.png"]),
        ("photos", ["owl.jpg"]),
        ("photos_labelled", ["000.jpg", "001.jpg"]),
    ):
        (tmp_path / folder).mkdir(parents=True)
        for name in names:
            Image.new("RGB", (900, 600), "red").save(tmp_path / folder / name)
    names = {"😀": ["grinning_face", "happy"], "😂": ["face_with_tears"]}
    (tmp_path / "emoji/emoji-en-US.json").write_text(json.dumps(names))
    caption = {"file": "owl.jpg", "caption": "an owl on a branch"}
    (tmp_path / "photos/captions.jsonl").write_text(json.dumps(caption) + "\n")
    (tmp_path / "photos_labelled/labels.csv").write_text("000.jpg,dog\n001.jpg,dog\n")
    return tmp_path


def test_names_captions_and_labels_are_texts_once(data: Path) -> None:
    pictures = read_pictures(data)
    assert pictures.pairs == [
        (data / "emoji/png/72/emoji_u1f600.png", "grinning face"),
        (data / "photos/owl.jpg", "an owl on a branch"),
        (data / "photos_labelled/000.jpg", "dog"),
        (data / "photos_labelled/001.jpg", "dog"),
    ]
    assert pictures.texts == ["grinning face", "an owl on a branch", "dog"]
    assert pictures.photographs == 3
    # Emoji keep their size; photographs are scaled down.
    assert [image.size for image in pictures.images] == [(900, 600)] * 2 + [(384, 256)] * 3


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("photos_labelled/labels.csv", "000.jpg\n"),
        ("photos/captions.jsonl", '{"file": "owl.jpg"}\n'),
        ("photos/captions.jsonl", "owl"),
        ("emoji/emoji-en-US.json", "[]"),
    ],
)
def test_tables_in_another_format_fail(data: Path, file: str, text: str) -> None:
    (data / file).write_text(text)
    with pytest.raises(SourceError, match=r"not the expected pictures|cannot be read as") as error:
        read_pictures(data)
    assert "\n" not in str(error.value)
    with pytest.raises(SourceError, match="elsewhere"):
        read_pictures(data / "elsewhere")


def test_a_photograph_that_a_table_lists_must_exist(data: Path) -> None:
    (data / "photos_labelled/001.jpg").unlink()
    with pytest.raises(SourceError, match=r"No such file.*001\.jpg"):
        read_pictures(data)


def test_views_are_those_of_their_seed(pictures: Pictures) -> None:
    first = views(pictures, 0, SIDE)
    assert first.shape == (16, SIDE, SIDE, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, views(pictures, 0, SIDE))
    assert not np.array_equal(first, views(pictures, 1, SIDE))
    assert not np.array_equal(first, views(pictures, 0, SIDE, seed=1))
    assert len(np.unique(first.reshape(16, -1), axis=0)) == 16


def test_a_view_shows_one_or_two_pictures_of_the_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_rows, "SEED_ROWS", 400)
    monkeypatch.setattr(picture_rows, "MAX_GAIN", 1.0)
    monkeypatch.setattr(picture_rows, "MAX_OFFSET", 0.0)
    images = [Image.new("RGB", (72, 72), (value, 0, 0)) for value in (10, 20, 200)]
    shown = views(Pictures(images, 1, []), 0, 32)[..., 0].reshape(400, -1)
    assert set(np.unique(shown)) == {10, 20, 200}
    shares = [(row == row[0]).mean() for row in shown]
    # Half of the views have a pasted picture; of these, some show the same picture twice.
    assert 0.25 < np.mean([share < 1 for share in shares]) < 0.45
    assert np.mean(shown == 200) == pytest.approx(picture_rows.PHOTOGRAPH_SHARE, abs=0.06)


def test_rows_are_vectors_of_pictures_and_of_their_views(
    pictures: Pictures, encoder: Encoder, tmp_path: Path
) -> None:
    write_rows(tmp_path, pictures, 30, encoder)
    rows = np.load(tmp_path / "rows.npy")
    assert rows.shape == (30, encoder.dim)
    assert rows.dtype == np.float16
    square = np.stack([np.asarray(image.resize((64, 64))) for image in pictures.images[:3]])
    shown = np.concatenate([views(pictures, 0, SIDE), views(pictures, 1, SIDE)])[:25]
    expected = np.concatenate([encoder.encode_images(square), encoder.encode_images(shown)])
    np.testing.assert_allclose(rows[[0, 1, 2, *range(5, 30)]], expected, atol=2e-3)
    texts = np.load(tmp_path / "texts.npy")
    expected = encoder.encode_text(pictures.texts)
    assert sorted((texts @ expected.T).argmax(axis=1)) == [0, 1, 2]
    np.testing.assert_allclose((texts @ expected.T).max(axis=1), 1, atol=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.npy", "rows.txt", "texts.npy"]
    assert (tmp_path / "rows.txt").read_text() == "real pictures by bundled tiny-image\n"


def test_an_adapter_is_trained_on_the_pictures_and_their_texts(
    pictures: Pictures, encoder: Encoder, tmp_path: Path
) -> None:
    pairs = []
    for number, image in enumerate(pictures.images[:4]):
        pairs.append((tmp_path / f"{number}.png", f"picture {number}"))
        image.save(pairs[-1][0])
    own = replace(pictures, pairs=pairs)
    adapted = train_adapter(tmp_path / "out", own, "tiny-image")
    lines = (tmp_path / "out" / "pairs.csv").read_text().splitlines()
    assert lines == ["path,caption", *(f"{path},{text}" for path, text in pairs)]
    assert describe_model(adapted) == "bundled tiny-image with an adapter"
    assert describe_model(encoder) == "bundled tiny-image"
    # The texts of an adapter that saw them differ more than those of the model.
    cosines = [np.triu(rows @ rows.T, 1).sum() / 6 for rows in (
        each.encode_text(own.texts) for each in (adapted, encoder))]  # fmt: skip
    assert cosines[0] < cosines[1] - 0.1


def test_fewer_rows_are_the_first_of_more(
    pictures: Pictures, encoder: Encoder, tmp_path: Path
) -> None:
    for name, rows in (("few", 23), ("many", 40), ("fewest", 4)):
        write_rows(tmp_path / name, pictures, rows, encoder)
    many = np.load(tmp_path / "many" / "rows.npy")
    for name in ("few", "fewest"):
        fewer = np.load(tmp_path / name / "rows.npy")
        np.testing.assert_allclose(fewer, many[: len(fewer)], atol=2e-3)


def test_a_model_that_embeds_no_pictures_fails(pictures: Pictures, tmp_path: Path) -> None:
    music = load_encoder("tiny-music", device="cpu")
    with pytest.raises(UnknownModelError, match="tiny-music does not embed square pictures"):
        write_rows(tmp_path / "rows", pictures, 30, music)
    assert not (tmp_path / "rows").exists()


def test_the_command_writes_rows_that_the_benchmark_reads(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_rows, "SEED_ROWS", 256)
    monkeypatch.setenv(picture_rows.DATA, str(data))
    names = {chr(0x1F600 + number): [f"face {number}"] for number in range(110)}
    (data / "emoji/emoji-en-US.json").write_text(json.dumps(names))
    for number in range(110):
        name = f"emoji/png/72/emoji_u{0x1F600 + number:04x}.png"
        Image.new("RGB", (72, 72), (2 * number, 9, 9)).save(data / name)
    out = tmp_path / "out"
    monkeypatch.setattr("sys.argv", ["picture_rows", str(out), "--rows", "1300"])
    picture_rows.main()
    own = OwnRows(out / "rows.npy", out / "texts.npy")
    assert own.rows + own.left_out == 1_300
    assert own.dim == 256
    assert own.name == "real pictures by bundled tiny-image"
    assert len(own.tune) == len(own.ask) == 56


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "0"], "--rows is 0, expected at least 1"),
        (["--model", "tiny"], "this name stands for several encoders"),
        (["--model", "no-such"], "no model 'no-such'"),
    ],
)
def test_wrong_options_are_one_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.setenv(picture_rows.DATA, str(data))
    monkeypatch.setattr("sys.argv", ["picture_rows", str(tmp_path / "out"), *arguments])
    with pytest.raises(SystemExit):
        picture_rows.main()
    assert message in capsys.readouterr().err.splitlines()[-1]
    monkeypatch.delenv(picture_rows.DATA)
    with pytest.raises(SystemExit):
        picture_rows.main()
    assert "error: " in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_real_pictures_are_read(real_data: Path) -> None:
    pictures = read_pictures(real_data)
    assert (len(pictures.images), pictures.photographs, len(pictures.texts)) == (3_704, 121, 1_676)
