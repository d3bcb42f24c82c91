"""Parses the `Range` header of a request for a file (RFC 9110, section 14)."""

from __future__ import annotations

import re

from retrieval.serving.errors import HttpError
from retrieval.serving.limits import MAX_RANGES

_RANGE = re.compile(r"(\d{0,18})-(\d{0,18})", re.ASCII)


def parse_ranges(header: str, size: int) -> list[tuple[int, int]] | None:
    """Return the half-open spans that a header names; None means the whole file.

    Overlapping and adjacent spans are joined.

    Args:
        header: The value, such as `bytes=0-99,-100`. Other units and malformed values are ignored.
        size: Bytes of the file.

    Raises:
        HttpError: 416: all spans begin after the end, or there are more than `MAX_RANGES`.
    """
    unit, _, text = header.partition("=")
    if unit.strip().lower() != "bytes":
        return None
    unsatisfiable = {"content-range": f"bytes */{size}"}
    if text.count(",") >= MAX_RANGES:
        raise HttpError(416, f"more than {MAX_RANGES} ranges in one request", unsatisfiable)
    spans = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None or match[0] == "-":
            return None
        first, last = match[1], match[2]
        if first and last and int(last) < int(first):
            return None
        start = int(first) if first else max(0, size - int(last))
        end = min(int(last) + 1, size) if first and last else size
        if start < end:
            spans.append((start, end))
    if not spans:
        raise HttpError(416, f"the file has {size} bytes", unsatisfiable)
    return _joined(sorted(spans))


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined = [spans[0]]
    for start, end in spans[1:]:
        last_start, last_end = joined[-1]
        if start <= last_end:
            joined[-1] = (last_start, max(last_end, end))
        else:
            joined.append((start, end))
    return joined
