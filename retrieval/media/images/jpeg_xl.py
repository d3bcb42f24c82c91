"""Read the size of a JPEG XL image from its header, before decoding."""

from __future__ import annotations

from retrieval.errors import DamagedMediaError

_SIGNATURE = b"\xff\x0a"
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_SIZE_BITS = (9, 13, 18, 30)


def read_jpeg_xl_size(content: bytes) -> tuple[int, int]:
    """Return (width, height) as the codestream declares them (ISO/IEC 18181-1, SizeHeader).

    Raises:
        DamagedMediaError: There is no codestream.
    """
    codestream = content if content.startswith(_SIGNATURE) else _find_codestream(content)
    if not codestream.startswith(_SIGNATURE):
        raise DamagedMediaError("a JPEG XL without an image; replace it")
    bits = _BitReader(codestream[2:34])
    if bits.read(1):
        height = 8 * (bits.read(5) + 1)
        ratio = bits.read(3)
        width = 0 if ratio else 8 * (bits.read(5) + 1)
    else:
        height = 1 + bits.read(_SIZE_BITS[bits.read(2)])
        ratio = bits.read(3)
        width = 0 if ratio else 1 + bits.read(_SIZE_BITS[bits.read(2)])
    if ratio:
        numerator, denominator = _RATIOS[ratio]
        width = height * numerator // denominator
    return width, height


class _BitReader:
    """Reads bits, the least significant one first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")

    def read(self, count: int) -> int:
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        return value


def _find_codestream(content: bytes) -> bytes:
    """Return the content from the box of the codestream, or of its first part, on."""
    position = 0
    while position + 8 <= len(content):
        size = int.from_bytes(content[position : position + 4], "big")
        name = content[position + 4 : position + 8]
        start = position + 8
        if size == 1:
            size = int.from_bytes(content[start : start + 8], "big")
            start += 8
        if name == b"jxlc":
            return content[start:]
        if name == b"jxlp":
            return content[start + 4 :]
        if size < 8:
            break
        position += size
    return b""
