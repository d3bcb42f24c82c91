"""What is asked of an index, as `retrieval index` puts it and as its card remembers it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from retrieval.errors import IndexBuildError

RECALL = 0.95

_MULTIPLES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BYTES = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)B?\s*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class IndexRequest:
    """What an index is to be, or to keep.

    Attributes:
        kind: `auto`, `exact` or a FAISS factory string.
        recall: Share of the ten exact neighbours that every kind of query is to find.
        memory: Bytes that it may take when searched, beside the mapped vectors; None: no bound.
        latency_ms: Median time of one query at most; None: as fast as recall and memory allow.

    Raises:
        IndexBuildError: A value that makes no sense.
    """

    kind: str = "auto"
    recall: float = RECALL
    memory: int | None = None
    latency_ms: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.recall <= 1:
            raise IndexBuildError(f"--recall is a share above 0 and at most 1, got {self.recall:g}")
        if self.memory is not None and self.memory <= 0:
            raise IndexBuildError("--memory must be above 0, as in 4G or 500M")
        if self.latency_ms is not None and self.latency_ms <= 0:
            raise IndexBuildError(f"--latency is in milliseconds above 0, got {self.latency_ms:g}")


def parse_bytes(text: str) -> int:
    """`4G`, `500MB`, `1.5GiB` or a plain number of bytes.

    Raises:
        IndexBuildError: Anything else.
    """
    found = _BYTES.fullmatch(text)
    if found is None or (found[3] and not found[2]):
        raise IndexBuildError(f"{text!r} is no size in bytes; write it as in 4G or 500M")
    unit = _MULTIPLES[found[2].upper()]
    if found[3]:
        unit = 1 << {"K": 10, "M": 20, "G": 30, "T": 40}[found[2].upper()]
    return round(float(found[1]) * unit)
