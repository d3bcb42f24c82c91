"""What an index says of itself: how it was built, what it recalls, what its scores mean."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

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
        bytes: Size of its files.
        training_rows: Rows that the approximate part was trained on.
        faiss: Version that built it.
        build_seconds: Time from reading the first row to the last measurement.
        last_item_id: Newest item it covers; newer rows are searched exactly.
        removed: Items that were removed when it was built.
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
    last_item_id: int
    removed: int
    recall_at_10: dict[str, float]
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
            CollectionFormatError: Not a card, of another version, or with unknown keys.
        """
        try:
            raw = json.loads(path.read_text())
            version = raw.pop("version")
            if version != CARD_VERSION:
                raise CollectionFormatError(
                    f"{path} has version {version}, this release reads {CARD_VERSION}; "
                    "build it again with: retrieval index"
                )
            backgrounds = {
                (QueryKind(entry["query"]), Medium(entry["medium"])): Background(
                    entry["mean"], entry["deviation"]
                )
                for entry in raw.pop("calibration")
            }
            return cls(**raw, calibration=Calibration(backgrounds))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            if isinstance(error, CollectionFormatError):
                raise
            raise CollectionFormatError(
                f"{path} is not an index card ({error}); build it again with: retrieval index"
            ) from error

    def summary(self) -> str:
        """One line for people."""
        recall = ", ".join(f"{kind} {share:.3f}" for kind, share in self.recall_at_10.items())
        return (
            f"{self.space}: {self.factory or 'exact'}, {self.rows} rows of {self.dim} numbers, "
            f"{self.bytes / 1e6:.1f} MB, built in {self.build_seconds:.1f} s"
            + (f"; recall@10 {recall}" if recall else "")
        )
