"""The types under which media are sent, recognized by their first bytes."""

from __future__ import annotations

from retrieval.media.images.signatures import is_image

OTHER = "application/octet-stream"
HEAD_BYTES = 64

_PREFIXES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
    (b"\xff\xf1", "audio/aac"),
    (b"\xff\xf9", "audio/aac"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_CONTAINERS = ((b"\x1aE\xdf\xa3", "webm"), (b"OggS", "ogg"))
_BRANDS = {
    b"avif": "image/avif", b"avis": "image/avif",
    b"M4A ": "audio/mp4", b"M4B ": "audio/mp4", b"qt  ": "video/mp4",
}  # fmt: skip


def media_type(head: bytes, *, sound_only: bool) -> str:
    """Return the type of a file that browsers may show, or `application/octet-stream`.

    HTML, SVG, XML and everything else that is not an image, a recording or a video in a known
    format gets the latter, whatever its name.

    Args:
        head: The first bytes of the file.
        sound_only: Whether the item is a recording.
    """
    for prefix, name in _PREFIXES:
        if head.startswith(prefix):
            return name
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12], OTHER)
    kind = "audio" if sound_only else "video"
    if head[4:8] == b"ftyp":
        # HEIF and raw photographs have brands too.
        default = OTHER if is_image(head) else f"{kind}/mp4"
        return _BRANDS.get(head[8:12], default)
    return next(
        (f"{kind}/{name}" for prefix, name in _CONTAINERS if head.startswith(prefix)), OTHER
    )
