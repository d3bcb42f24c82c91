"""Images in formats beyond Pillow's, large, cut and deep images."""

import io
import struct
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pillow_heif
import pytest
from PIL import Image

from retrieval.errors import DamagedMediaError, MediaTooLargeError, UnsupportedMediaError
from retrieval.media.damage import Damage
from retrieval.media.images import limits
from retrieval.media.images.jpeg_xl import read_jpeg_xl_size
from retrieval.media.images.reading import read_image, read_image_and_size
from retrieval.media.modality import find_modality
from retrieval.types import Medium
from support.media_files import make_picture, write_dng

IMAGE = make_picture(200, 150)


def heif_bytes(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=95)
    return buffer.getvalue()


def psd_bytes(image: Image.Image) -> bytes:
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, image.height, image.width, 8, 3)
    planes = np.asarray(image).transpose(2, 0, 1).tobytes()
    return head + bytes(12) + bytes(2) + planes


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def assert_is(content: bytes, twin: Image.Image) -> None:
    assert find_modality(io.BytesIO(content), "no extension") is Medium.IMAGE
    image, size = read_image_and_size(io.BytesIO(content))
    assert (image.mode, image.size, size) == ("RGB", twin.size, twin.size)
    difference = np.abs(np.asarray(image, np.int16) - np.asarray(twin, np.int16))
    assert difference.mean() < 3


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(heif_bytes(IMAGE), id="HEIC"),
        pytest.param(imagecodecs.jpegxl_encode(np.asarray(IMAGE)), id="JPEG XL"),
        pytest.param(
            imagecodecs.jpegxl_encode(np.asarray(IMAGE), usecontainer=True), id="JPEG XL box"
        ),
        pytest.param(
            imagecodecs.jpegxl_encode(np.asarray(IMAGE).astype(np.uint16) * 257), id="JPEG XL 16"
        ),
        pytest.param(psd_bytes(IMAGE), id="PSD"),
        pytest.param(
            saved(IMAGE, "MPO", save_all=True, append_images=[IMAGE.rotate(90)], quality=95),
            id="MPO",
        ),
        pytest.param(
            saved(IMAGE, "PNG", save_all=True, append_images=[IMAGE.rotate(180)]), id="APNG"
        ),
    ],
)
def test_field_43_formats_are_recognized_by_content(content: bytes) -> None:
    assert_is(content, IMAGE)


def test_field_43_transparent_heif_and_grey_jpeg_xl() -> None:
    layer = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    pixels = np.asarray(read_image(io.BytesIO(heif_bytes(layer))))
    assert pixels.min() > 250
    grey = imagecodecs.jpegxl_encode(np.asarray(IMAGE.convert("L")))
    assert_is(grey, IMAGE.convert("L").convert("RGB"))


def test_field_43_raw_photograph(tmp_path: Path) -> None:
    path = write_dng(tmp_path / "a.dng", level=200)
    with path.open("rb") as file:
        assert find_modality(file, path.name) is Medium.IMAGE
    image, size = read_image_and_size(str(path))
    assert (image.size, size) == ((32, 32), (64, 64))
    pixels = np.asarray(image, float)
    assert pixels.std() < 2
    assert 200 < pixels.mean() < 256
    dark = read_image(str(write_dng(tmp_path / "b.dng", level=20)))
    assert np.asarray(dark).mean() < pixels.mean() - 50


@pytest.mark.parametrize(
    "size", [(1, 1), (8, 8), (256, 256), (640, 480), (641, 333), (1_920, 1_080), (7, 9_000)]
)
@pytest.mark.parametrize("boxed", [True, False])
def test_the_size_of_a_jpeg_xl_is_read_before_decoding(size: tuple[int, int], boxed: bool) -> None:
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    assert read_jpeg_xl_size(imagecodecs.jpegxl_encode(pixels, usecontainer=boxed)) == size


def test_fault_20_jpeg_xl_and_heif_over_the_cap_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_PIXELS", 100)
    for content in (imagecodecs.jpegxl_encode(np.asarray(IMAGE)), heif_bytes(IMAGE)):
        with pytest.raises(MediaTooLargeError, match="200 × 150 pixels, at most 100"):
            read_image(io.BytesIO(content))


@pytest.mark.parametrize("name", ["pillow_heif", "imagecodecs", "rawpy"])
def test_field_43_a_missing_library_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {
        "pillow_heif": heif_bytes(IMAGE),
        "imagecodecs": imagecodecs.jpegxl_encode(np.asarray(IMAGE)),
        "rawpy": write_dng(tmp_path / "a.dng").read_bytes(),
    }[name]
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UnsupportedMediaError, match=f"{name}; .* with its extra `images`"):
        read_image(io.BytesIO(content))


def test_field_43_the_extra_that_the_message_names_exists() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text())
    extra = " ".join(project["project"]["optional-dependencies"]["images"])
    assert all(name in extra for name in ("pillow-heif", "imagecodecs", "rawpy"))


def test_field_43_jpeg_of_108_megapixels() -> None:
    image = Image.new("RGB", (12_000, 9_000), (200, 40, 40))
    image.paste((40, 40, 200), (0, 0, 6_000, 9_000))
    content = saved(image, "JPEG")
    small, size = read_image_and_size(io.BytesIO(content), draft_side=448)
    assert (size, small.size) == ((12_000, 9_000), (1_500, 1_125))
    assert small.getpixel((100, 500)) == pytest.approx((40, 40, 200), abs=4)
    assert small.getpixel((1_400, 500)) == pytest.approx((200, 40, 40), abs=4)
    assert read_image(io.BytesIO(content)).size == (6_000, 4_500)


def test_fault_20_jpeg_over_its_own_cap_fails() -> None:
    content = bytearray(saved(Image.new("L", (64, 64)), "JPEG"))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", 60_000, 60_000)
    with pytest.raises(MediaTooLargeError, match="60000 × 60000 pixels, at most 256,000,000"):
        read_image(io.BytesIO(bytes(content)))


# ---------------------------------------------------------------- cut JPEGs


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("missing", [1, 2, 20])
@pytest.mark.parametrize("draft_side", [None, 64])
def test_field_43_jpeg_without_its_last_bytes_is_read_with_a_note(
    progressive: bool, missing: int, draft_side: int | None
) -> None:
    content = saved(IMAGE, "JPEG", quality=95, progressive=progressive)
    damage = Damage()
    image, size = read_image_and_size(
        io.BytesIO(content[:-missing]), draft_side=draft_side, damage=damage
    )
    assert size == IMAGE.size
    twin = np.asarray(IMAGE.resize(image.size), np.int16)
    rows = len(twin) * 9 // 10 - 8
    assert np.abs(np.asarray(image, np.int16) - twin)[:rows].mean() < 4
    (note,) = damage.notes
    assert note.startswith("the end of the file is missing; ")


@pytest.mark.parametrize(
    ("progressive", "share"), [(False, 0.3), (False, 0.5), (False, 0.8), (True, 0.3), (True, 0.5)]
)
def test_field_43_jpeg_without_a_large_part_fails(progressive: bool, share: float) -> None:
    content = saved(make_picture(640, 480), "JPEG", quality=95, progressive=progressive)
    with pytest.raises(DamagedMediaError, match="truncated"):
        read_image(io.BytesIO(content[: int(share * len(content))]))


# ---------------------------------------------------------------- deep greys


@pytest.mark.parametrize(
    ("dtype", "factor"),
    [
        (np.float32, 1 / 255),
        (np.float32, 1),
        (np.float32, 257),
        (np.float32, 16),
        (np.uint16, 257),
        (np.uint16, 16),
        (np.uint16, 1),
        (np.int32, 2**23),
        (np.int32, 257),
        (np.int32, 1),
    ],
)
def test_field_24_tiff_is_scaled_by_its_range(dtype: type, factor: float) -> None:
    grey = np.asarray(make_picture().convert("L"))
    content = saved(Image.fromarray((grey * np.float64(factor)).astype(dtype)), "TIFF")
    pixels = np.asarray(read_image(io.BytesIO(content)))[:, :, 0]
    np.testing.assert_allclose(pixels.astype(int), grey.astype(int), atol=1)


def test_field_24_values_below_zero_are_stretched() -> None:
    heights = np.linspace(-10, 30, 64 * 48, dtype=np.float32).reshape(48, 64)
    pixels = np.asarray(read_image(io.BytesIO(saved(Image.fromarray(heights), "TIFF"))))
    assert (pixels.min(), pixels.max()) == (0, 255)
    flat = np.full((8, 8), -3.0, np.float32)
    assert np.asarray(read_image(io.BytesIO(saved(Image.fromarray(flat), "TIFF")))).max() == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_field_24_nan_and_infinite_pixels_fail(value: float) -> None:
    pixels = np.zeros((8, 8), np.float32)
    pixels[0, 0] = value
    with pytest.raises(DamagedMediaError, match="NaN or infinite"):
        read_image(io.BytesIO(saved(Image.fromarray(pixels), "TIFF")))
