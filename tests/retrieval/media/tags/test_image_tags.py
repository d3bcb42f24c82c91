"""EXIF, IPTC and XMP of images that Pillow writes."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from retrieval.media.tags.image_tags import read_image_tags
from retrieval.media.tags.values import MAX_TAG_CHARACTERS
from retrieval.media.tags.xmp import MAX_XMP_BYTES, read_xmp
from support.media_files import make_picture

BASE, GPS, IFD = ExifTags.Base, ExifTags.GPS, ExifTags.IFD


def encoded(kind: str = "JPEG", **options: Any) -> io.BytesIO:
    buffer = io.BytesIO()
    make_picture().save(buffer, kind, **options)
    return buffer


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags[BASE.Make], tags[BASE.Model] = "Canon", "Canon EOS R5"
    tags[BASE.ImageDescription] = "a dog on the beach"
    tags[BASE.Artist] = "Ann Lee"
    tags[BASE.XPKeywords] = "sea;sand\0".encode("utf-16-le")
    tags[BASE.DateTime] = "2025:01:01 00:00:00"
    details = tags.get_ifd(IFD.Exif)
    details[BASE.DateTimeOriginal] = "2024:06:01 12:30:00"
    details[BASE.OffsetTimeOriginal] = "+02:00"
    details[BASE.UserComment] = b"UNICODE\0" + "schön".encode("utf-16-le")
    position = tags.get_ifd(IFD.GPSInfo)
    position[GPS.GPSLatitudeRef], position[GPS.GPSLatitude] = "S", (33.0, 51.0, 36.0)
    position[GPS.GPSLongitudeRef], position[GPS.GPSLongitude] = "E", (151.0, 12.0, 0.0)
    return tags


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_gives_facts_and_texts(kind: str) -> None:
    tags = read_image_tags(encoded(kind, exif=exif()))
    assert tags.facts == {
        "taken_at": datetime(2024, 6, 1, 10, 30, tzinfo=UTC),
        "year": 2024,
        "camera": "Canon EOS R5",
        "latitude": pytest.approx(-33.86),
        "longitude": pytest.approx(151.2),
        "artist": "Ann Lee",
    }
    texts = [text.text for text in tags.timed_texts()]
    assert texts == ["Canon EOS R5 · Ann Lee · sea · sand · 2024", "a dog on the beach", "schön"]


def test_field_62_hostile_exif_is_cut_and_cleaned() -> None:
    tags = Image.Exif()
    tags[BASE.ImageDescription] = "x" * 1_000_000
    tags[BASE.Artist] = "A\x07nn"
    tags.get_ifd(IFD.GPSInfo)[GPS.GPSLatitude] = (1.0, 2.0)
    texts = read_image_tags(encoded("TIFF", exif=tags)).timed_texts()
    assert [text.text for text in texts] == ["A nn", "x" * MAX_TAG_CHARACTERS]
    assert read_image_tags(io.BytesIO(b"no image")).timed_texts() == []


@pytest.mark.parametrize("seed", range(40))
def test_field_62_damaged_exif_never_raises(seed: int) -> None:
    damaged = bytearray(encoded(exif=exif()).getvalue())
    place, random = damaged.index(b"Exif\0\0"), np.random.default_rng(seed)
    for position in random.integers(place + 6, place + 400, 12):
        damaged[position] = random.integers(256)
    tags = read_image_tags(io.BytesIO(damaged))
    assert all(text.text.isprintable() for text in tags.timed_texts())


def xmp(content: str, attributes: str = "") -> bytes:
    return (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" '
        'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" '
        f'xmlns:xmp="http://ns.adobe.com/xap/1.0/" {attributes}>{content}</rdf:Description>'
        "</rdf:RDF></x:xmpmeta>\n<?xpacket end='w'?>"
    ).encode()


SUBJECTS = (
    "<dc:subject><rdf:Bag><rdf:li>Tom &amp; Jerry</rdf:li><rdf:li>harbour</rdf:li></rdf:Bag>"
    '</dc:subject><dc:title><rdf:Alt><rdf:li xml:lang="x-default">At sea</rdf:li></rdf:Alt>'
    "</dc:title>"
)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_xmp_gives_title_keywords_and_time(kind: str) -> None:
    packet = xmp(SUBJECTS, 'photoshop:City="Oslo" xmp:CreateDate="2020-02-03T04:05:06Z"')
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet.decode())
        info.add_text("Title", "a title")
        info.add_text("parameters", "a castle, oil painting")
        file = encoded(kind, pnginfo=info)
    else:
        file = encoded(kind, xmp=packet)
    tags = read_image_tags(file)
    assert tags.facts == {
        "title": "At sea", "year": 2020, "taken_at": datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC),
    }  # fmt: skip
    png = ["a title"] if kind == "PNG" else []
    assert tags.words == ["At sea", "Tom & Jerry", "harbour", "Oslo", *png]
    assert tags.texts == (["a castle, oil painting"] if kind == "PNG" else [])


@pytest.mark.parametrize(
    "packet",
    [
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>',
        b"<x>" * 10_000,
        b"\xff\xfe",
        b"",
        xmp(SUBJECTS + " " * MAX_XMP_BYTES),
    ],
)
def test_field_62_hostile_xmp_gives_nothing(packet: bytes) -> None:
    assert read_xmp(packet) == {}


def test_cut_xmp_gives_what_precedes_the_damage() -> None:
    packet = xmp(SUBJECTS)
    assert read_xmp(packet[: packet.index(b"harbour")]) == {"subject": ["Tom & Jerry"]}


def test_iptc_gives_headline_keywords_and_caption() -> None:
    def record(number: int, text: bytes) -> bytes:
        return b"\x1c\x02" + bytes([number]) + len(text).to_bytes(2, "big") + text

    data = b"".join(
        record(number, text)
        for number, text in ((105, b"Regatta"), (25, b"boat"), (25, b"m\xe9t\xe9o"),
                             (80, b"Ann"), (120, "Über die Förde".encode()))
    )  # fmt: skip
    block = b"8BIM\x04\x04\0\0" + len(data).to_bytes(4, "big") + data + b"\0" * (len(data) % 2)
    segment = b"Photoshop 3.0\0" + block
    content = encoded().getvalue()
    marker = b"\xff\xed" + (len(segment) + 2).to_bytes(2, "big") + segment
    tags = read_image_tags(io.BytesIO(content[:2] + marker + content[2:]))
    assert tags.words == ["Regatta", "boat", "météo", "Ann"]
    assert (tags.texts, tags.facts) == (["Über die Förde"], {"artist": "Ann"})
