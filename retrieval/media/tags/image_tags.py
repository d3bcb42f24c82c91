"""Read EXIF, IPTC and XMP of images."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, BinaryIO

from PIL import ExifTags, Image, ImageFile, IptcImagePlugin

from retrieval.errors import MediaError
from retrieval.media.images.errors import FORMATS, pillow_errors
from retrieval.media.images.signatures import is_heif
from retrieval.media.tags.values import (
    Tags,
    add_camera,
    add_position,
    add_time,
    check_position,
    clean_tag,
    decode_comment,
    decode_utf16,
    parse_time,
)
from retrieval.media.tags.xmp import read_xmp

_IFD, _GPS = ExifTags.IFD, ExifTags.GPS
_BASE = ExifTags.Base

_IPTC_SHORT = {
    (2, 5): "title", (2, 105): None, (2, 25): None, (2, 80): "artist", (2, 90): None, (2, 95): None,
    (2, 101): None,
}  # fmt: skip
"""Object name, headline, keywords, by-line, city, state, country; and their columns."""
_IPTC_CAPTION = (2, 120)

_PNG_TEXTS = {
    "Title": "title", "Author": "artist", "Description": None, "Comment": None, "parameters": None,
    "prompt": None,
}  # fmt: skip

MAX_KEYWORDS = 200


def read_image_tags(file: BinaryIO) -> Tags:
    """Return the tags of an image; unreadable ones are left out."""
    tags = Tags()
    with suppress(MediaError), pillow_errors():
        image = _open(file)
        for read in (_read_exif, _read_xmp, _read_iptc, _read_info):
            with suppress(Exception):  # parsers raise arbitrary exceptions on bad data
                read(image, tags)
    return tags


def _open(file: BinaryIO) -> Image.Image:
    file.seek(0)
    head = file.read(32)
    file.seek(0)
    if is_heif(head):
        with suppress(ImportError):
            import pillow_heif

            heif = pillow_heif.open_heif(file, convert_hdr_to_8bit=True)
            image = Image.new("1", (1, 1))  # its pixels are not decoded
            image.info = dict(heif.info)
            return image
    return Image.open(file, formats=FORMATS)


# ---------------------------------------------------------------- EXIF


def _read_exif(image: Image.Image, tags: Tags) -> None:
    exif = image.getexif()
    details: Mapping[int, Any] = {}
    position: Mapping[int, Any] = {}
    with suppress(Exception):
        details = exif.get_ifd(_IFD.Exif)
    with suppress(Exception):
        position = exif.get_ifd(_IFD.GPSInfo)
    for name, offset in (
        (_BASE.DateTimeOriginal, _BASE.OffsetTimeOriginal),
        (_BASE.DateTimeDigitized, _BASE.OffsetTimeDigitized),
    ):
        add_time(tags, parse_time(details.get(name), details.get(offset)))
    add_time(tags, parse_time(exif.get(_BASE.DateTime), details.get(_BASE.OffsetTime)))
    add_camera(tags, exif.get(_BASE.Make), exif.get(_BASE.Model))
    add_position(tags, _position(position))
    _add(tags, "title", decode_utf16(exif.get(_BASE.XPTitle)))
    _add(
        tags, "artist", clean_tag(exif.get(_BASE.Artist)) or decode_utf16(exif.get(_BASE.XPAuthor))
    )
    _add_words(tags, decode_utf16(exif.get(_BASE.XPKeywords)))
    for text in (
        clean_tag(exif.get(_BASE.ImageDescription)),
        decode_utf16(exif.get(_BASE.XPSubject)),
        decode_utf16(exif.get(_BASE.XPComment)),
        decode_comment(details.get(_BASE.UserComment)),
    ):
        _add_text(tags, text)


def _position(gps: Mapping[int, Any]) -> tuple[float, float] | None:
    latitude = _degrees(gps.get(_GPS.GPSLatitude), gps.get(_GPS.GPSLatitudeRef), "S")
    longitude = _degrees(gps.get(_GPS.GPSLongitude), gps.get(_GPS.GPSLongitudeRef), "W")
    if latitude is None or longitude is None:
        return None
    return check_position(latitude, longitude)


def _degrees(value: object, reference: object, negative: str) -> float | None:
    if not isinstance(value, tuple) or not value:
        return None
    try:
        parts = [float(part) for part in value[:3]]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    degrees: float = sum(part / 60**place for place, part in enumerate(parts))
    return -degrees if (clean_tag(reference) or "").upper() == negative else degrees


# ---------------------------------------------------------------- XMP, IPTC, PNG


def _read_xmp(image: Image.Image, tags: Tags) -> None:
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if packet is None and hasattr(image, "tag_v2"):
        packet = image.tag_v2.get(700)
    if isinstance(packet, str):
        packet = packet.encode("utf-8", "replace")
    if not isinstance(packet, bytes):
        return
    values = read_xmp(packet)
    add_time(tags, parse_time(next(iter(values.get("CreateDate", ())), None)))
    for name, column in (("title", "title"), ("creator", "artist"), ("Headline", None)):
        for value in values.get(name, ()):
            _add(tags, column, clean_tag(value))
    for name in ("subject", "hierarchicalSubject", "Location", "City", "State", "Country"):
        for value in values.get(name, ())[:MAX_KEYWORDS]:
            _add_words(tags, (clean_tag(value) or "").replace("|", ";"))
    for value in values.get("description", ()):
        _add_text(tags, clean_tag(value))


def _read_iptc(image: Image.Image, tags: Tags) -> None:
    if image.format not in ("JPEG", "MPO", "TIFF") or not isinstance(image, ImageFile.ImageFile):
        return
    records = IptcImagePlugin.getiptcinfo(image) or {}
    for key, column in _IPTC_SHORT.items():
        for value in _list(records.get(key))[:MAX_KEYWORDS]:
            _add(tags, column, clean_tag(value))
    for value in _list(records.get(_IPTC_CAPTION)):
        _add_text(tags, clean_tag(value))


def _read_info(image: Image.Image, tags: Tags) -> None:
    if image.format == "PNG":
        for name, column in _PNG_TEXTS.items():
            text = clean_tag(image.info.get(name))
            if column is None:
                _add_text(tags, text)
            else:
                _add(tags, column, text)
    else:
        _add_text(tags, clean_tag(image.info.get("comment")))


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _add(tags: Tags, column: str | None, text: str | None) -> None:
    if text is None:
        return
    tags.words.append(text)
    if column is not None:
        tags.add_fact(column, text)


def _add_words(tags: Tags, text: str | None) -> None:
    """Add keywords, which semicolons separate."""
    tags.words += [word.strip() for word in (text or "").split(";")[:MAX_KEYWORDS] if word.strip()]


def _add_text(tags: Tags, text: str | None) -> None:
    if text is not None:
        tags.texts.append(text)
