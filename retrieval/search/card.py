"""What an index says of itself: how it was built, what it recalls, what its scores mean."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import CollectionFormatError
from retrieval.search.calibration import Background, Calibration, QueryKind
from retrieval.types import Medium

CARD_VERSION = 1


@dataclass(frozen=True, slots=True)
class IndexCard:
    """The content of card.json.

    Attributes:
        space: The space's name.
        kind: What was asked for: `auto`, `exact` or a factory string.
        factory: FAISS factory string of the approximate part; None for exact only.
        rows: Rows of the index.
        dim: Length of a vector.
        bytes: Size of the folder's other files.
        training_rows: Rows that the approximate part was trained on.
        faiss: Version that built it.
        build_seconds: Time from reading the first row to the last measurement.
        generation: The collection's generation whose rows it holds.
        last_item_id: Newest item it covers, -1 for none; newer rows are searched exactly.
        removed_digest: `digest_of_ids` of the items that it leaves out.
        recall_at_10: Share of the ten exact neighbours that it finds, by kind of query.
        calibration: Scores of unrelated queries.
    """

    space: str
    kind: str
    factory: str | None
    rows: int
    dim: int
    bytes: int
    training_rows: int
    faiss: str
    build_seconds: float
    generation: int
    last_item_id: int
    removed_digest: str
    recall_at_10: Mapping[QueryKind, float]
    calibration: Calibration

    def to_json(self) -> str:
        """The text of card.json."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        content["calibration"] = [
            {"query": kind, "medium": medium, **asdict(background)}
            for (kind, medium), background in self.calibration.backgrounds.items()
        ]
        return json.dumps({"version": CARD_VERSION, **content}, indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> IndexCard:
        """Parse a card.

        Raises:
            CollectionFormatError: Not a card, of another version, or with other keys.
        """
        try:
            return cls._parse(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise CollectionFormatError(
                f"{path} is not an index card of this release ({_in_one_line(error)}); "
                "build it again with: retrieval index"
            ) from error

    @classmethod
    def _parse(cls, raw: dict[str, Any]) -> IndexCard:
        version = raw.pop("version")
        if version != CARD_VERSION:
            raise ValueError(f"version {version}, expected {CARD_VERSION}")
        calibration = Calibration(dict(map(_background, raw.pop("calibration"))))
        recall = {QueryKind(kind): float(share) for kind, share in raw.pop("recall_at_10").items()}
        for name, kind in _PLAIN.items():
            if name in raw and not isinstance(raw[name], kind):
                raise TypeError(f"{name} is {raw[name]!r}, expected {kind}")
        return cls(**raw, recall_at_10=recall, calibration=calibration)

    def summary(self) -> str:
        """One line for people."""
        recall = ", ".join(f"{kind} {share:.3f}" for kind, share in self.recall_at_10.items())
        return (
            f"{self.space}: {self.factory or 'exact'}, {self.rows} rows of {self.dim} numbers, "
            f"{self.bytes / 1e6:.1f} MB, built in {self.build_seconds:.1f} s"
            + (f"; recall@10 {recall}" if self.factory else "")
        )


_PLAIN: dict[str, Any] = {
    "space": str,
    "kind": str,
    "factory": str | None,
    "rows": int,
    "dim": int,
    "bytes": int,
    "training_rows": int,
    "faiss": str,
    "build_seconds": float | int,
    "generation": int,
    "last_item_id": int,
    "removed_digest": str,
}
"""Types of the card's plain values; the others are parsed."""


def digest_of_ids(ids: NDArray[np.int64]) -> str:
    """16 hex digits that tell two sorted sets of ids apart."""
    return hashlib.sha256(np.ascontiguousarray(ids, "<i8").tobytes()).hexdigest()[:16]


def _background(entry: dict[str, Any]) -> tuple[tuple[QueryKind, Medium], Background]:
    values = {name: float(entry.pop(name)) for name in ("mean", "deviation", "threshold")}
    key = (QueryKind(entry.pop("query")), Medium(entry.pop("medium")))
    if entry or values["deviation"] <= 0:
        raise ValueError(f"calibration of {key[0]} and {key[1]}: {values} {entry}")
    return key, Background(**values)


def _in_one_line(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    return " ".join(str(error).split())
