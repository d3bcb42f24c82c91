"""TIFFs of every type of value, layout and number of bands, compared with 8-bit twins."""

import io
import sys

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from retrieval.errors import DamagedMediaError, MediaTooLargeError, UnsupportedMediaError
from retrieval.media.images import deep_tiff, limits
from retrieval.media.images.reading import read_image, read_image_and_size
from support.media_files import make_picture

RGB = np.asarray(make_picture()).astype(np.float64)
GREY = np.asarray(make_picture().convert("L")).astype(np.float64)
ALPHA = np.linspace(0, 255, 48 * 64).reshape(48, 64).round()
ON_WHITE = (RGB * ALPHA[..., None] + 255 * (255 - ALPHA[..., None])) / 255
GREY_ON_WHITE = (GREY * ALPHA + 255 * (255 - ALPHA)) / 255

FACTORS = [
    *((np.float16, 1 / 255), (np.float16, 1), (np.float32, 1 / 255), (np.float32, 257)),
    *((np.float64, 1 / 255), (np.float64, 257), (np.int8, 127 / 255), (np.uint16, 1)),
    *((np.uint16, 4_095 / 255), (np.uint16, 257), (np.int16, 1), (np.int16, 32_767 / 255)),
    *((np.uint32, 257), (np.uint32, 2**24), (np.int32, 2**23), (np.int32, 1)),
    *((np.uint64, 1), (np.int64, 2**55)),
]


def tiff(values: np.ndarray, factor: float, dtype: type, **options: object) -> bytes:
    content: bytes = imagecodecs.tiff_encode(
        np.ascontiguousarray((values * factor).astype(dtype)), **options
    )
    return content


def assert_shows(content: bytes, expected: np.ndarray, tolerance: float = 1.6) -> None:
    image, size = read_image_and_size(io.BytesIO(content))
    assert (image.mode, image.size, size) == ("RGB", (64, 48), (64, 48))
    expected = expected if expected.ndim == 3 else np.repeat(expected[..., None], 3, axis=2)
    np.testing.assert_allclose(np.asarray(image, np.float64), expected, atol=tolerance)


@pytest.mark.parametrize(("dtype", "factor"), FACTORS)
def test_field_24_any_type_of_value_is_scaled_by_its_range(dtype: type, factor: float) -> None:
    tolerance = 4 if dtype is np.int8 else 1.6  # of 7 bits
    grey_alpha, rgb_alpha = np.dstack([GREY, ALPHA]), np.dstack([RGB, ALPHA])
    alpha = {"extrasample": "unassalpha", "planarconfig": "contig"}
    for values, options, expected in (
        (GREY, {}, GREY),
        (RGB, {"photometric": "rgb"}, RGB),
        (grey_alpha, {"photometric": "minisblack", **alpha}, GREY_ON_WHITE),
        (rgb_alpha, {"photometric": "rgb", **alpha}, ON_WHITE),
    ):
        assert_shows(tiff(values, factor, dtype, **options), expected, tolerance)


@pytest.mark.parametrize(
    "options",
    [
        {"byteorder": ">"},
        {"bigtiff": True},
        {"tile": (16, 16)},
        {"compression": "deflate", "predictor": True, "rowsperstrip": 7},
        {"compression": "lzw"},
        {"compression": "zstd"},
    ],
)
@pytest.mark.parametrize(
    ("dtype", "factor"),
    [(np.uint8, 1), (np.uint16, 257), (np.int16, 1), (np.float32, 1 / 255), (np.uint32, 2**24)],
)
def test_field_24_any_layout_is_read(
    dtype: type, factor: float, options: dict[str, object]
) -> None:
    assert_shows(tiff(GREY, factor, dtype, **options), GREY)
    assert_shows(tiff(RGB, factor, dtype, photometric="rgb", **options), RGB)


@pytest.mark.parametrize(
    ("dtype", "factor"), [(np.uint8, 1), (np.uint16, 257), (np.int16, 1), (np.float32, 1 / 255)]
)
def test_field_24_channels_that_are_stored_separately(dtype: type, factor: float) -> None:
    separate = {"photometric": "rgb", "planarconfig": "separate"}
    assert_shows(tiff(RGB.transpose(2, 0, 1), factor, dtype, **separate), RGB)
    four = np.dstack([RGB, ALPHA]).transpose(2, 0, 1)
    assert_shows(tiff(four, factor, dtype, extrasample="unassalpha", **separate), ON_WHITE)


@pytest.mark.parametrize(
    ("dtype", "factor"), [(np.uint8, 1), (np.uint16, 257), (np.float32, 1 / 255)]
)
def test_field_24_bands_colours_and_whites(dtype: type, factor: float) -> None:
    contiguous = {"planarconfig": "contig", "extrasample": "unspecified"}
    five = np.dstack([RGB, ALPHA, ALPHA])
    assert_shows(tiff(five, factor, dtype, photometric="rgb", **contiguous), RGB)
    assert_shows(tiff(five, factor, dtype, photometric="minisblack", **contiguous), RGB)
    two = np.dstack([GREY, ALPHA])
    assert_shows(tiff(two, factor, dtype, photometric="minisblack", **contiguous), GREY)
    assert_shows(tiff(255 - GREY, factor, dtype, photometric="miniswhite"), GREY)
    premultiplied = np.dstack([RGB * ALPHA[..., None] / 255, ALPHA])
    content = tiff(
        premultiplied,
        factor,
        dtype,
        photometric="rgb",
        planarconfig="contig",
        extrasample="assocalpha",
    )
    assert_shows(content, ON_WHITE, tolerance=2.6)


def test_field_24_a_volume_shows_its_first_image() -> None:
    assert_shows(tiff(np.stack([GREY, 255 - GREY]), 1 / 255, np.float32), GREY)


def test_field_24_orientation_of_a_deep_tiff(monkeypatch: pytest.MonkeyPatch) -> None:
    content = tiff(RGB, 1 / 255, np.float32, photometric="rgb")
    tags = {**deep_tiff.read_tiff_tags(io.BytesIO(content)), 274: 3}
    monkeypatch.setattr(deep_tiff, "read_tiff_tags", lambda file: tags)
    assert_shows(content, RGB[::-1, ::-1])


def test_bad_deep_tiffs_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.full((48, 64, 3), 0.5)
    content = tiff(values, 1, np.float32, photometric="rgb")
    values[0, 0, 0] = np.nan
    with pytest.raises(DamagedMediaError, match="NaN or infinite"):
        read_image(io.BytesIO(tiff(values, 1, np.float32, photometric="rgb")))
    with pytest.raises((DamagedMediaError, UnsupportedMediaError)):
        read_image(io.BytesIO(content[: len(content) // 2]))
    with pytest.raises(DamagedMediaError, match="type complex64; write real numbers"):
        read_image(io.BytesIO(tiff(GREY, 1, np.complex64)))
    with monkeypatch.context() as patch:
        patch.setattr(limits, "MAX_PIXELS", 64 * 48 - 1)
        with pytest.raises(MediaTooLargeError, match="64 × 48 pixels"):
            read_image(io.BytesIO(content))
    monkeypatch.setattr(deep_tiff, "MAX_BYTES", 36_863)
    with pytest.raises(MediaTooLargeError, match="3 bands, 36,864 bytes; at most 36,863 are read"):
        read_image(io.BytesIO(content))


def test_without_the_extra_only_values_that_pillow_keeps_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    full = io.BytesIO()
    Image.fromarray(GREY.astype(np.uint16) * 257).save(full, "TIFF")
    assert_shows(full.getvalue(), GREY)
    assert_shows(tiff(RGB, 257, np.uint16, photometric="rgb"), RGB)
    for dtype, factor in ((np.uint16, 16), (np.float32, 1), (np.int16, 1)):
        content = tiff(RGB, factor, dtype, photometric="rgb")
        with pytest.raises(UnsupportedMediaError, match=r"imagecodecs; .* its extra `images`"):
            read_image(io.BytesIO(content))
