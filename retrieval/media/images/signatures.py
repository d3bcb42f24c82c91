"""Recognize image formats by their first bytes."""

from __future__ import annotations

_SIGNATURES = (
    *(b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"8BPS"),
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),  # TIFF, BigTIFF, and most raw photographs
    *(b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
)
_RAW = (
    *(b"IIRO", b"IIRS", b"MMOR"),  # Olympus
    *(b"IIU\0", b"FUJIFILM", b"FOVb", b"\0MRM"),  # Panasonic, Fujifilm, Sigma, Minolta
)
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1", b"mif2")
_AVIF_BRANDS = (b"avif", b"avis")
_RAW_BRANDS = (b"crx ",)  # Canon


def _brand(head: bytes) -> bytes:
    return head[8:12] if head[4:8] == b"ftyp" else b""


def is_image(head: bytes) -> bool:
    """Whether the first 32 bytes of a file are those of an image."""
    return (
        head.startswith(_SIGNATURES)
        or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")
        or is_heif(head)
        or is_raw(head)
        or _brand(head) in _AVIF_BRANDS
    )


def is_heif(head: bytes) -> bool:
    """Whether a file has a brand of HEIF; AVIF can have one too."""
    return _brand(head) in _HEIF_BRANDS


def is_jpeg_xl(head: bytes) -> bool:
    """Whether a file is a JPEG XL codestream or container."""
    return head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL "))


def is_raw(head: bytes) -> bool:
    """Whether a file is a raw photograph in a format other than TIFF."""
    return head.startswith(_RAW) or _brand(head) in _RAW_BRANDS


def is_tiff(head: bytes) -> bool:
    """Whether a file has the structure of a TIFF, as many raw photographs have."""
    return head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"))
