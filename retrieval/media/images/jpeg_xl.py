"""The size of a JPEG XL, read from its header before anything is decoded."""

from __future__ import annotations

from retrieval.errors import DamagedMediaError

_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_BITS = (9, 13, 18, 30)


def size_of_jpeg_xl(content: bytes) -> tuple[int, int]:
    """Give (width, height) as the codestream declares them (ISO/IEC 18181-1, SizeHeader).

    Raises:
        DamagedMediaError: There is no codestream.
    """
    codestream = content if content.startswith(b"\xff\x0a") else _codestream(content)
    if not codestream.startswith(b"\xff\x0a"):
        raise DamagedMediaError("a JPEG XL without a picture; replace it")
    bits = _Bits(codestream[2:34])
    if bits.take(1):
        height = 8 * (bits.take(5) + 1)
        ratio = bits.take(3)
        width = 0 if ratio else 8 * (bits.take(5) + 1)
    else:
        height = 1 + bits.take(_BITS[bits.take(2)])
        ratio = bits.take(3)
        width = 0 if ratio else 1 + bits.take(_BITS[bits.take(2)])
    if ratio:
        across, down = _RATIOS[ratio]
        width = height * across // down
    return width, height


class _Bits:
    """Takes bits from the least significant one on."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        found = self._value & ((1 << count) - 1)
        self._value >>= count
        return found


def _codestream(content: bytes) -> bytes:
    """Find the box that holds the codestream, or its first part."""
    place = 0
    while place + 8 <= len(content):
        count, name = (
            int.from_bytes(content[place : place + 4], "big"),
            content[place + 4 : place + 8],
        )
        start = place + 8
        if count == 1:
            count = int.from_bytes(content[start : start + 8], "big")
            start += 8
        if name == b"jxlc":
            return content[start:]
        if name == b"jxlp":
            return content[start + 4 :]
        if count < 8:
            break
        place += count
    return b""
