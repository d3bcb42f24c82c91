import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from retrieval.errors import MissingExtraError
from retrieval.media.ocr.engine import Line, load_engine, require_ocr
from retrieval.media.ocr.reading import MAX_TILES, Writing, read_writing
from support.writing import page

TEXT = "The harbour is closed\nuntil 12 March"


class RecordingEngine:
    """Reports one line per 100 pixels of height, named after its position, and every size."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def __call__(self, pixels: np.ndarray) -> list[Line]:
        height, width = pixels.shape[:2]
        self.sizes.append((width, height))
        ys = range(50, height, 100)
        return [Line(str(int(pixels[y, 0, 0])), 1.0, width / 2, y) for y in ys]


@pytest.fixture(scope="module")
def engine():
    pytest.importorskip("rapidocr")
    return load_engine()


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_words_are_read_in_every_mode(engine, mode: str) -> None:
    image = page(TEXT).convert(mode).convert("RGB")
    assert read_writing(image, engine).text == TEXT


def test_a_picture_without_words_has_no_text(engine) -> None:
    assert read_writing(Image.new("RGB", (200, 200), "white"), engine) == Writing("", 0.0)


def test_small_and_turned_writing_is_read(engine) -> None:
    small = page("Gate 42 to Lisbon", (320, 60), font_size=14)
    assert read_writing(small, engine).text == "Gate 42 to Lisbon"
    turned = page("Gate 42 to Lisbon").transpose(Image.Transpose.ROTATE_180)
    assert read_writing(turned, engine).text == "Gate 42 to Lisbon"


@pytest.mark.parametrize("size", [(1, 300_000), (300_000, 1), (1, 1), (15, 4_000)])
def test_slivers_are_not_read(size: tuple[int, int]) -> None:
    engine = RecordingEngine()
    assert read_writing(Image.new("RGB", size), engine) == Writing("", 0.0)
    assert engine.sizes == []


def test_a_strip_is_read_in_tiles_and_each_line_once() -> None:
    strip = np.repeat(np.arange(0, 60, dtype=np.uint8), 100)
    pixels = np.broadcast_to(strip[:, None, None], (6_000, 800, 3))
    engine = RecordingEngine()
    text = read_writing(Image.fromarray(pixels.copy()), engine).text
    # Tiles start at multiples of 1,600 rows and overlap by 80; every line is centred in one.
    assert len(engine.sizes) == 4
    numbers = [int(number) for number in text.split("\n")]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(60))


def test_a_large_picture_is_scaled_down_and_an_endless_strip_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = RecordingEngine()
    monkeypatch.setattr("retrieval.media.ocr.reading.MAX_PIXELS", 1_000_000)
    read_writing(Image.new("RGB", (1_600, 1_200)), engine)
    assert engine.sizes == [(1_155, 866)]
    engine = RecordingEngine()
    read_writing(Image.new("RGB", (16, 300_000)), engine)
    assert len(engine.sizes) == MAX_TILES


def test_nothing_is_printed_or_logged_and_no_connection_is_opened() -> None:
    pytest.importorskip("rapidocr")
    code = (
        "import socket; socket.socket.connect = None\n"
        "from retrieval.media.ocr.engine import load_engine\n"
        "import numpy as np; print(load_engine()(np.zeros((64, 64, 3), np.uint8)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "retrieval.media.ocr.engine.find_spec",
        lambda name: None if name == "rapidocr" else real(name),
    )
    with pytest.raises(
        MissingExtraError, match=r"^reading .* needs rapidocr; install retrieval\[ocr\]$"
    ):
        require_ocr()
