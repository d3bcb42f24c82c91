"""What a part of an index says of itself: why it is so, what it does, what its scores mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from indexes.effort import Effort
from retrieval.errors import CollectionFormatError
from retrieval.files.reading import read_text
from retrieval.search.calibration import Background, Calibration, QueryKind
from retrieval.search.indexing.choice import Trial
from retrieval.search.indexing.request import IndexRequest
from retrieval.types import Medium

CARD_VERSION = 4

READ_VERSIONS = (3, CARD_VERSION)
"""Until version 4 an index held equal rows as often as they came."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a part was found to do when it was built.

    Attributes:
        recall: Share of the k exact neighbours that it finds, by kind of query and k.
        latency_ms: Median and 99th percentile of a search for ten, by queries asked at once.
        bytes_per_row: Of the approximate part, which searches want in the page cache.
        peak_mib: The most memory that the process had taken by then, mapped pages included.
    """

    recall: Mapping[QueryKind, Mapping[int, float]]
    latency_ms: Mapping[int, tuple[float, float]]
    bytes_per_row: float
    peak_mib: float


@dataclass(frozen=True, slots=True)
class IndexCard:
    """The content of card.json.

    Attributes:
        space: The space's name.
        request: What was asked for.
        factory: FAISS factory string of the approximate part; None for exact only.
        looking: Its effort by kind of query; empty for exact only.
        reason: Why this kind.
        rows: Rows of the part.
        vectors: Vectors that these rows have: equal rows lie in the index once.
        dim: Length of a vector.
        bytes: Size of the folder's other files.
        training_rows: Rows that the quantizer was trained on.
        trained_for: Rows that the space had when it was trained: with twice as many it is anew.
        faiss: Version that built it.
        build_seconds: Time from reading the first row to the last measurement.
        generation: The collection's generation whose rows it holds.
        first_item_id: Oldest item that it may hold.
        last_item_id: Newest item that it covers, -1 for none; newer rows are searched exactly.
        measured: What it does.
        calibration: Scores of unrelated queries in all parts up to this one.
        trials: What else was tried; of the first part only.
    """

    space: str
    request: IndexRequest
    factory: str | None
    looking: Mapping[QueryKind, Effort]
    reason: str
    rows: int
    vectors: int
    dim: int
    bytes: int
    training_rows: int
    trained_for: int
    faiss: str
    build_seconds: float
    generation: int
    first_item_id: int
    last_item_id: int
    measured: Measured
    calibration: Calibration
    trials: tuple[Trial, ...] = ()

    def to_json(self) -> str:
        """The text of card.json."""
        content = {name: getattr(self, name) for name in _PLAIN}
        content |= {
            "request": asdict(self.request),
            "looking": {kind: asdict(effort) for kind, effort in self.looking.items()},
            "measured": asdict(self.measured),
            "trials": [asdict(trial) for trial in self.trials],
            "calibration": [
                {"query": kind, "medium": medium, **asdict(background)}
                for (kind, medium), background in self.calibration.backgrounds.items()
            ],
        }
        return json.dumps({"version": CARD_VERSION, **content}, indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> IndexCard:
        """Parse a card.

        Raises:
            CollectionFormatError: Not a card, of another version, or with other keys.
        """
        try:
            return cls._parse(json.loads(read_text(path)))
        except (
            OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError,
        ) as error:  # fmt: skip
            raise CollectionFormatError(
                f"{path} is not an index card of this release ({_in_one_line(error)}); "
                "build it again with: retrieval index"
            ) from error

    @classmethod
    def _parse(cls, raw: dict[str, Any]) -> IndexCard:
        version = raw.pop("version")
        if version not in READ_VERSIONS:
            raise ValueError(f"version {version}, expected {CARD_VERSION}")
        raw.setdefault("vectors", raw["rows"])
        for name, kind in _PLAIN.items():
            if name in raw and not isinstance(raw[name], kind):
                raise TypeError(f"{name} is {raw[name]!r}, expected {kind}")
        looking = {QueryKind(kind): Effort(**effort) for kind, effort in raw.pop("looking").items()}
        return cls(
            request=IndexRequest(**raw.pop("request")),
            looking=looking,
            measured=_measured(raw.pop("measured")),
            trials=tuple(_trial(trial) for trial in raw.pop("trials")),
            calibration=Calibration(dict(map(_background, raw.pop("calibration")))),
            **raw,
        )

    def summary(self) -> str:
        """One line for people."""
        recall = ", ".join(f"{kind} {k[10]:.3f}" for kind, k in self.measured.recall.items())
        return (
            f"{self.space}: {self.factory or 'exact'}, {self.rows} rows of {self.dim} numbers, "
            f"{self.bytes / 1e6:.1f} MB, built in {self.build_seconds:.1f} s"
            + (f"; recall@10 {recall}" if self.factory else "")
        )


_PLAIN: dict[str, Any] = {
    "space": str,
    "factory": str | None,
    "reason": str,
    "rows": int,
    "vectors": int,
    "dim": int,
    "bytes": int,
    "training_rows": int,
    "trained_for": int,
    "faiss": str,
    "build_seconds": float | int,
    "generation": int,
    "first_item_id": int,
    "last_item_id": int,
}
"""Types of the card's plain values; the others are parsed."""


def _measured(raw: dict[str, Any]) -> Measured:
    recall = {
        QueryKind(kind): {int(k): float(share) for k, share in shares.items()}
        for kind, shares in raw.pop("recall").items()
    }
    latency = {int(n): (float(p50), float(p99)) for n, (p50, p99) in raw.pop("latency_ms").items()}
    return Measured(recall, latency, **{name: float(value) for name, value in raw.items()})


def _trial(raw: dict[str, Any]) -> Trial:
    curve = tuple((float(recall), float(speed)) for recall, speed in raw.pop("curve"))
    return Trial(**raw, curve=curve)


def _background(entry: dict[str, Any]) -> tuple[tuple[QueryKind, Medium], Background]:
    values = {name: float(entry.pop(name)) for name in ("mean", "deviation", "threshold")}
    key = (QueryKind(entry.pop("query")), Medium(entry.pop("medium")))
    if entry or values["deviation"] <= 0:
        raise ValueError(f"calibration of {key[0]} and {key[1]}: {values} {entry}")
    return key, Background(**values)


REASON_CHARACTERS = 300
"""A reason quotes what it found, which in a damaged card can be of any length."""


def _in_one_line(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    return " ".join(str(error)[:REASON_CHARACTERS].split())
