import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrieval.errors import DamagedMediaError, MediaTooLargeError, UnsupportedMediaError
from retrieval.media.images.fitting import fit
from retrieval.media.images.limits import MAX_ANIMATION_FRAMES
from retrieval.media.images.reading import read_image, read_image_and_size
from retrieval.types import ImageGeometry
from support.media_files import make_picture, picture_bytes

SQUARE = ImageGeometry(height=64, width=64)


def read(image: Image.Image, kind: str, **options) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return read_image(buffer)


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    a, b = first.astype(float).ravel(), second.astype(float).ravel()
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def assert_twins(image: Image.Image, twin: Image.Image) -> None:
    assert image.mode == "RGB"
    assert cosine(np.asarray(image), np.asarray(twin)) > 0.999


# ---------------------------------------------------------------- geometry


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("target", [(64, 64), (48, 80)])
def test_fit_equals_open_clips_preprocessing_exactly(
    mode: str, interpolation: str, target: tuple[int, int]
) -> None:
    import open_clip

    transform = open_clip.image_transform(
        target[0] if target[0] == target[1] else target,
        is_train=False,
        mean=(0, 0, 0),
        std=(1, 1, 1),
        resize_mode=mode,
        interpolation=interpolation,
        fill_color=7,
    )
    geometry = ImageGeometry(*target, interpolation, mode, fill=7)
    generator = np.random.default_rng(0)
    for size in [(300, 200), (64, 64), (65, 64), (63, 97), (1, 1), (3, 4), (19, 333), (257, 80)]:
        noise = generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        image = Image.fromarray(noise)
        expected = (transform(image).numpy() * 255).round().astype(np.uint8).transpose(1, 2, 0)
        np.testing.assert_array_equal(fit(image, geometry), expected, err_msg=str(size))


def test_official_clip_preprocessing_of_a_photograph(real_data: Path) -> None:
    folder = real_data / "clip_reference"
    pixels = fit(read_image(str(folder / "franz-kafka.jpg")), ImageGeometry(224, 224))
    mean = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
    deviation = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
    scaled = (pixels.astype(np.float32) / np.float32(255) - mean) / deviation
    expected = np.load(folder / "expected_preprocessed_image.npy")[0]
    np.testing.assert_array_equal(scaled.transpose(2, 0, 1), expected)


def test_faster_decoding_of_large_jpegs_changes_little(real_data: Path) -> None:
    geometry = ImageGeometry(224, 224)
    for path in sorted((real_data / "photos").glob("*.jpg")):
        draft, size = read_image_and_size(str(path), draft_side=448)
        exact = read_image(str(path))
        assert size == exact.size
        assert min(draft.size) >= min(448, *size)
        assert cosine(fit(draft, geometry), fit(exact, geometry)) >= 0.999, path


# ---------------------------------------------------------------- kinds of pictures


def test_fault_21_cmyk_twin() -> None:
    picture = make_picture()
    assert_twins(read(picture.convert("CMYK"), "TIFF"), picture)
    assert_twins(read(picture.convert("CMYK"), "JPEG", quality=95), picture)


def test_fault_21_grey_with_alpha_twin() -> None:
    grey = make_picture().convert("L")
    assert_twins(read(grey.convert("LA"), "PNG"), grey.convert("RGB"))


def test_fault_21_palette_twin() -> None:
    palette = make_picture().quantize(256)
    for kind in ("PNG", "GIF", "BMP"):
        image = read(palette, kind)
        np.testing.assert_array_equal(np.asarray(image), np.asarray(palette.convert("RGB")))


def test_fault_21_transparency_is_laid_on_white() -> None:
    layer = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    layer.paste((0, 0, 255, 255), (0, 0, 4, 8))
    twin = Image.new("RGB", (8, 8), "white")
    twin.paste((0, 0, 255), (0, 0, 4, 8))
    np.testing.assert_array_equal(np.asarray(read(layer, "PNG")), np.asarray(twin))
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 255, 255, 0, 0])
    palette.paste(0, (0, 0, 4, 8))
    np.testing.assert_array_equal(
        np.asarray(read(palette, "PNG", transparency=1)), np.asarray(twin)
    )
    opaque = Image.new("RGB", (8, 8), (255, 0, 0))
    opaque.paste((0, 0, 255), (0, 0, 4, 8))
    np.testing.assert_array_equal(
        np.asarray(read(opaque, "PNG", transparency=(255, 0, 0))), np.asarray(twin)
    )


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_fault_21_sixteen_bit_twin(kind: str) -> None:
    grey = make_picture().convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    image = read(deep, kind)
    np.testing.assert_array_equal(np.asarray(image), np.asarray(grey.convert("RGB")))


def test_fault_21_float_twin() -> None:
    grey = make_picture().convert("L")
    image = read(Image.fromarray(np.asarray(grey).astype(np.float32) / 255), "TIFF")
    np.testing.assert_array_equal(np.asarray(image), np.asarray(grey.convert("RGB")))


def test_fault_21_one_bit_twin() -> None:
    bits = make_picture().convert("1")
    np.testing.assert_array_equal(np.asarray(read(bits, "PNG")), np.asarray(bits.convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_fault_21_exif_rotated_twin(orientation: int) -> None:
    upright = make_picture(64, 48)
    stored = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.rotate(180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    stored.save(buffer, "JPEG", quality=95, exif=exif)
    image, size = read_image_and_size(buffer)
    assert size == (64, 48)
    assert_twins(image, upright)


def test_a_photograph_with_broken_exif_is_read() -> None:
    assert read(make_picture(), "JPEG", exif=b"Exif\0\0garbage").size == (64, 48)


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_first_frame_of_an_animation(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], lossless=True)
    np.testing.assert_array_equal(np.asarray(read_image(buffer)), np.asarray(frames[0]))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF"])
def test_every_format_of_full_colour_is_read(kind: str) -> None:
    assert_twins(read_image(io.BytesIO(picture_bytes(kind))), make_picture())


# ---------------------------------------------------------------- bad pictures


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1), (3, 4)])
@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("target", [(64, 64), (48, 80)])
def test_fault_22_tiny_and_thin_pictures_are_fitted(
    size: tuple[int, int], mode: str, target: tuple[int, int]
) -> None:
    pixels = fit(Image.new("RGB", size, "red"), ImageGeometry(*target, resize_mode=mode))
    assert (pixels.shape, pixels.dtype) == ((*target, 3), np.uint8)
    assert (pixels[target[0] // 2, target[1] // 2] == (255, 0, 0)).all()


def test_fault_20_bomb_of_30000_by_30000_fails() -> None:
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    )
    with pytest.raises(MediaTooLargeError, match="64,000,000"):
        read_image(io.BytesIO(bomb))


def test_fault_20_tiff_of_100_megapixels_fails() -> None:
    buffer = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(buffer, "TIFF", compression="group4")
    assert len(buffer.getvalue()) < 100_000
    with pytest.raises(MediaTooLargeError, match="64,000,000"):
        read_image(buffer)


def test_fault_20_gif_of_10000_frames_fails() -> None:
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    with pytest.raises(MediaTooLargeError, match=f"at most {MAX_ANIMATION_FRAMES:,}"):
        read_image(io.BytesIO(head + 10_000 * frame + b";"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF"])
def test_fault_19_truncated_picture_fails(kind: str) -> None:
    generator = np.random.default_rng(0)
    buffer = io.BytesIO()
    noise = Image.fromarray(generator.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    noise.save(buffer, kind)
    with pytest.raises((DamagedMediaError, UnsupportedMediaError), match="replace it"):
        read_image(io.BytesIO(buffer.getvalue()[: len(buffer.getvalue()) // 2]))


def test_fault_19_html_fails() -> None:
    with pytest.raises(UnsupportedMediaError, match="not a readable image, expected JPEG"):
        read_image(io.BytesIO(b"<html>404</html>"))


def test_format_outside_the_list_fails() -> None:
    with pytest.raises(UnsupportedMediaError, match="not a readable image"):
        read_image(io.BytesIO(picture_bytes("PPM")))


def test_images_with_one_damaged_byte_are_read_or_refused() -> None:
    for kind in ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"]:
        whole = picture_bytes(kind)
        for place in range(0, min(len(whole), 600), 3):
            broken = bytearray(whole)
            broken[place] ^= 0xFF
            with suppress(DamagedMediaError, UnsupportedMediaError, MediaTooLargeError):
                read_image(io.BytesIO(bytes(broken)), draft_side=128)


def test_threads_restore_the_warning_filters(tmp_path: Path) -> None:
    make_picture(600, 400).save(tmp_path / "a.jpg")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: read_image(str(tmp_path / "a.jpg")), range(64)))
    assert list(warnings.filters) == before
