"""Row 27: a thumbnail of anything that a hit can name."""

import base64
import io
import struct
from pathlib import Path

import pytest
from PIL import Image

from retrieval.gallery.page import GallerySection, write_gallery
from retrieval.gallery.thumbnails import SIDE, thumbnail
from retrieval.types import Hit, Medium


def hit_of(path: Path, modality: Medium = Medium.IMAGE) -> Hit:
    times = (None, None) if modality is Medium.IMAGE else (0.0, 2.0)
    return Hit(1, 0.5, 0, str(path), modality, modality, *times, "s", likely=True)


def shown(hit: Hit) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(thumbnail(hit).split(",", 1)[1])))


@pytest.mark.parametrize(
    ("size", "small"),
    [
        ((1, 300_000), (1, SIDE)),
        ((300_000, 1), (SIDE, 1)),
        ((3, 10_000), (1, SIDE)),
        ((1, 1), (SIDE, SIDE)),
        ((400, 300), (SIDE, 192)),
    ],
)
def test_field_27_strips_keep_a_pixel(
    tmp_path: Path, size: tuple[int, int], small: tuple[int, int]
) -> None:
    path = tmp_path / "strip.png"
    Image.new("RGB", size, (200, 30, 30)).save(path)
    picture = shown(hit_of(path))
    assert picture.size == small
    red, green, blue = picture.convert("RGB").resize((1, 1)).getpixel((0, 0))
    assert red > 150 > 80 > max(green, blue)
    write_gallery(tmp_path / "page.html", [GallerySection("x", [hit_of(path)])], title="x")
    assert (tmp_path / "page.html").read_text().count("<article") == 1


BROKEN = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + struct.pack(">II", 5, 5)


@pytest.mark.parametrize(
    ("name", "content", "modality"),
    [
        ("gone.png", None, Medium.IMAGE),
        ("empty.png", b"", Medium.IMAGE),
        ("broken.png", BROKEN, Medium.IMAGE),
        ("now a picture.mp4", BROKEN, Medium.VIDEO),
        ("text.mp4", b"hello", Medium.VIDEO),
        ("no.tar!member.png", None, Medium.IMAGE),
    ],
)
def test_field_27_a_hit_that_cannot_be_shown_has_a_placeholder(
    tmp_path: Path, name: str, content: bytes | None, modality: Medium
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert shown(hit_of(path, modality)).size == (SIDE, 144)
