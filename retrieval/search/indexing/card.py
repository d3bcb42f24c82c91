"""The card of one part of an index: its kind, its measurements and its calibration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from indexes.effort import Effort
from retrieval.errors import CollectionFormatError, short_repr
from retrieval.files.documents import parse_json
from retrieval.files.reading import read_text
from retrieval.search.calibration import QueryType, ScoreStatistics
from retrieval.search.indexing.request import IndexRequest
from retrieval.search.indexing.trials import Trial

CARD_VERSION = 6

READABLE_VERSIONS = (3, 4, 5, CARD_VERSION)
"""Indexes of version 3 contain equal rows several times. Cards before version 5 lack the counts and
best scores of the calibration, those before version 6 the margins of efforts."""

MAX_REASON_LENGTH = 300
"""Length of the reason in a message; a damaged card can contain values of any length."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """Measurements of a part when it was built.

    Attributes:
        recall: Share of the k exact neighbours found, by query type and k.
        latency_ms: Median and 99th percentile of a search for ten, by queries per search.
        bytes_per_row: Size of the approximate index per row. Searches need it in memory.
        peak_mib: Peak memory of the process, mapped pages included.
    """

    recall: Mapping[QueryType, Mapping[int, float]]
    latency_ms: Mapping[int, tuple[float, float]]
    bytes_per_row: float
    peak_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexCard:
    """The content of card.json.

    Attributes:
        space: Name of the space.
        factory: FAISS factory string of the approximate index; None for exact search.
        reason: Reason for this kind.
        rows: Number of rows.
        vectors: Number of distinct vectors; equal rows share one.
        dim: Length of a vector.
        bytes: Size of the other files of the folder.
        training_rows: Number of rows that the quantizer was trained on.
        trained_for: Number of rows of the space when it was trained.
        faiss: Version of FAISS.
        build_seconds: Time from reading the first row to the last measurement.
        generation: Generation of the collection that was indexed.
        first_item_id: First item id of the part.
        last_item_id: Last item id of the part, -1 for none. Newer rows are searched exactly.
        request: The requirements.
        efforts: Search effort by query type; empty for exact search. JSON key `looking`.
        measured: Measurements.
        trials: Trials of other kinds; only in the first part.
        calibration: Scores of unrelated queries, by query type and medium.
    """

    space: str
    factory: str | None
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
    request: IndexRequest
    efforts: Mapping[QueryType, Effort]
    measured: Measurements
    trials: tuple[Trial, ...] = ()
    calibration: tuple[ScoreStatistics, ...] = ()

    def to_json(self) -> str:
        """Serialize to the text of card.json."""
        names = {"efforts": "looking"}
        content = {names.get(name, name): value for name, value in asdict(self).items()}
        return json.dumps({"version": CARD_VERSION, **content}, indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> IndexCard:
        """Read a card.

        Raises:
            CollectionFormatError: The file is not a card, has another version, or breaks a rule.
        """
        try:
            return parse_json(cls, json.dumps(_current_format(json.loads(read_text(path)))))
        except (OSError, ValueError, RecursionError) as error:
            reason = " ".join(str(error)[:MAX_REASON_LENGTH].split())
            raise CollectionFormatError(
                f"{path} is not an index card of this release ({reason}); build the index again"
            ) from error

    def summary(self) -> str:
        """Describe the part in one line."""
        recall = ", ".join(f"{name} {k[10]:.3f}" for name, k in self.measured.recall.items())
        return (
            f"{self.space}: {self.factory or 'exact'}, {self.rows} rows of {self.dim} numbers, "
            f"{self.bytes / 1e6:.1f} MB, built in {self.build_seconds:.1f} s"
            + (f"; recall@10 {recall}" if self.factory else "")
        )


def _current_format(raw: Any) -> dict[str, Any]:
    """Check the version of a parsed card, and convert its keys to the fields of `IndexCard`.

    Raises:
        ValueError: The document is not an object, or has another version.
    """
    if not isinstance(raw, dict) or "version" not in raw:
        raise ValueError("version is missing")
    version = raw.pop("version")
    if version not in READABLE_VERSIONS:
        raise ValueError(f"version {short_repr(version)}, expected {CARD_VERSION}")
    if "rows" in raw:
        raw.setdefault("vectors", raw["rows"])
    if "looking" in raw:
        raw["efforts"] = raw.pop("looking")
    return raw
