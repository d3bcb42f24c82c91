"""The requirements of an index, as its card stores them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from retrieval.errors import IndexBuildError

DEFAULT_RECALL = 0.95

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:([KMGT])(I?))?B?\s*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class IndexRequest:
    """Requirements of an index.

    Attributes:
        kind: `auto`, `exact` or a FAISS factory string.
        recall: Share of the ten exact neighbours to find, for every query type.
        memory: Bytes of memory during searches, mapped vectors not included; None: no limit.
        latency_ms: Median time of one query that makes exact search acceptable; None: find the
            fastest kind.

    Raises:
        IndexBuildError: A value is out of range.
    """

    kind: str = "auto"
    recall: float = DEFAULT_RECALL
    memory: int | None = None
    latency_ms: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.recall <= 1:
            raise IndexBuildError(f"recall must be above 0 and at most 1, got {self.recall:g}")
        if self.memory is not None and self.memory <= 0:
            raise IndexBuildError(f"memory must be above 0 bytes, got {self.memory}")
        if self.latency_ms is not None and self.latency_ms <= 0:
            raise IndexBuildError(f"latency must be above 0 ms, got {self.latency_ms:g}")


def parse_bytes(text: str) -> int:
    """Parse a size such as `4G`, `500MB`, `1.5GiB` or a plain number of bytes.

    Raises:
        IndexBuildError: The text is not a size.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise IndexBuildError(f"{text!r} is no size in bytes; write it as in 4G or 500M")
    number, prefix, binary = match.groups()
    exponent = "KMGT".index(prefix.upper()) + 1 if prefix else 0
    unit: int = (1024 if binary else 1000) ** exponent
    return round(float(number) * unit)
