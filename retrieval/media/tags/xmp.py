"""Read the texts of an XMP packet, within limits and without entities."""

from __future__ import annotations

from contextlib import suppress
from xml.parsers import expat

MAX_XMP_BYTES = 1 << 20
"""Larger packets are left out."""

_MAX_DEPTH = 64

_TEXTS = {
    "http://purl.org/dc/elements/1.1/": ("title", "description", "subject", "creator"),
    "http://ns.adobe.com/photoshop/1.0/": ("Headline", "City", "State", "Country"),
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": ("Location",),
    "http://ns.adobe.com/lightroom/1.0/": ("hierarchicalSubject",),
}
_NAMES = {f"{space}|{name}": name for space, names in _TEXTS.items() for name in names}
_NAMES |= {
    "http://ns.adobe.com/xap/1.0/|CreateDate": "CreateDate",
    "http://ns.adobe.com/photoshop/1.0/|DateCreated": "CreateDate",
    "http://ns.adobe.com/exif/1.0/|DateTimeOriginal": "CreateDate",
}


class _RefusedError(Exception):
    """The packet declares a document type, or is nested too deep."""


def read_xmp(packet: bytes) -> dict[str, list[str]]:
    """Return the values of the known properties of an XMP packet, by name; none if it is broken."""
    if len(packet) > MAX_XMP_BYTES:
        return {}
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator="|")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.EntityDeclHandler = reader.refuse
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    with suppress(expat.ExpatError, _RefusedError, ValueError):  # keep what precedes the damage
        parser.Parse(packet.strip(b"\0 \t\r\n"), True)
    return reader.values


class _Reader:
    """Collects the texts inside known elements, and known attributes."""

    def __init__(self) -> None:
        self.values: dict[str, list[str]] = {}
        self._path: list[str] = []

    def refuse(self, *_: object) -> None:
        raise _RefusedError

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name)
        if len(self._path) > _MAX_DEPTH:
            raise _RefusedError
        for attribute, value in attributes.items():
            if attribute in _NAMES:
                self._add(_NAMES[attribute], value)

    def end(self, name: str) -> None:
        self._path.pop()

    def text(self, text: str) -> None:
        if not text.strip():
            return
        for name in reversed(self._path):
            if name in _NAMES:
                self._add(_NAMES[name], text)
                return

    def _add(self, name: str, value: str) -> None:
        self.values.setdefault(name, []).append(value)
