import numpy as np
import pytest
from PIL import Image

from retrieval.media.ocr.engine import Line
from retrieval.media.ocr.frames import FrameReader, is_same_writing
from retrieval.types import TextSource, TimedText

OCR = TextSource.OCR


class Colours:
    """An engine that names the colour of a picture, and counts its calls."""

    def __init__(self, names: dict[int, str]) -> None:
        self.names = names
        self.calls = 0

    def __call__(self, pixels: np.ndarray) -> list[Line]:
        self.calls += 1
        text = self.names.get(int(pixels[0, 0, 0]), "")
        return [Line(text, 0.9, 1.0, 1.0)] if text else []


def grey(level: int) -> Image.Image:
    return Image.new("RGB", (640, 360), (level, level, level))


def read(engine: Colours, levels: list[int], end: float) -> list[TimedText]:
    reader = FrameReader(engine)
    texts = [text for n, level in enumerate(levels) for text in reader.add(n / 2, grey(level))]
    return [*texts, *reader.finish(end)]


def test_frames_with_the_same_writing_are_one_text() -> None:
    engine = Colours({100: "One", 150: "Two", 180: "Two"})
    texts = read(engine, [0, 100, 100, 103, 150, 180, 0, 0], 4.0)
    assert texts == [TimedText(OCR, "One", 0.5, 2.0), TimedText(OCR, "Two", 2.0, 3.0)]
    assert engine.calls == 5  # unchanged frames are not read


def test_the_last_text_ends_with_the_video() -> None:
    assert read(Colours({100: "End"}), [100, 100], 0.8) == [TimedText(OCR, "End", 0.0, 0.8)]
    assert read(Colours({}), [100, 50], 1.0) == []


def test_slow_changes_add_up() -> None:
    engine = Colours({80: "Slow"})
    read(engine, list(range(0, 81, 8)), 6.0)
    assert engine.calls == 6  # every second frame differs by more than 10 levels


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ("HELLO WORLD", "HELL0 WORLD", False),  # a digit may be a counter
        ("HELLO WORLD", "HELLO WORLO", True),
        ("HELLO WORLD", "hello, world!", True),
        ("Lap 1", "Lap 2", False),
        ("A logo\nfirst subtitle", "A logo\nanother line", False),
        ("A logo\nfirst subtitle", "first subtitle\nA logo", True),
        ("A logo", "", False),
        ("", "", True),
    ],
)
def test_same_writing(first: str, second: str, is_same: bool) -> None:
    assert is_same_writing(first, second) is is_same
    assert is_same_writing(second, first) is is_same
