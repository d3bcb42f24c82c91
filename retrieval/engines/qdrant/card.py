"""The card of a pushed collection: what it contains, in the metadata of its Qdrant collection."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from retrieval.engines.qdrant.payload import PayloadColumn, payload_columns
from retrieval.errors import CollectionDamagedError, CollectionFormatError
from retrieval.files.documents import parse_json
from retrieval.files.reading import read_regular
from retrieval.search.calibration import Calibration, ScoreStatistics
from retrieval.search.index_files import CARD
from retrieval.search.indexing.card import IndexCard
from retrieval.store.current import manifest_path
from retrieval.store.filters.evaluation import filterable_columns
from retrieval.store.manifest import Manifest
from retrieval.store.reader import Snapshot
from retrieval.types import Space

FORMAT = 1
"""Version of points and cards. Collections of another version are pushed again."""

METADATA_KEY = "retrieval"

POINT_FOLDERS = ("items", "segments", "removed")
"""Folders whose files determine the points."""


@dataclass(frozen=True, slots=True)
class PushedSpace:
    """One space: a named vector of the points."""

    space: Space
    rows: int
    calibration: tuple[ScoreStatistics, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedCard:
    """Facts of one pushed generation.

    Attributes:
        format: `FORMAT`.
        release: Version of this package.
        name: The alias that the collection was pushed for.
        source: Absolute path of the collection on the machine that pushed it.
        generation: Generation of the collection.
        manifest: sha256 of the generation's manifest.
        content: Digest of everything that determines the points.
        complete: Whether all points were sent and counted.
        points: Number of points; 0 before that.
        items: Number of items with points, by modality.
    """

    format: int
    release: str
    name: str
    source: str
    generation: int
    manifest: str
    content: str
    complete: bool
    points: int
    items: dict[str, int]
    spaces: tuple[PushedSpace, ...]
    columns: tuple[PayloadColumn, ...]

    @classmethod
    def of(cls, snapshot: Snapshot, name: str) -> PushedCard:
        """Describe a generation before its points are sent."""
        from retrieval import __version__

        manifest = snapshot.manifest
        return cls(
            format=FORMAT,
            release=__version__,
            name=name,
            source=str(snapshot.root.resolve()),
            generation=manifest.generation,
            manifest=_digest(snapshot.root / manifest_path(manifest.generation)),
            content=content_digest(manifest),
            complete=False,
            points=0,
            items={},
            spaces=tuple(_pushed_space(snapshot, space) for space in snapshot.spaces),
            columns=payload_columns(filterable_columns(snapshot.items_schema())),
        )

    def to_metadata(self) -> dict[str, Any]:
        """Return the metadata of the Qdrant collection."""
        return {METADATA_KEY: json.loads(json.dumps(asdict(self)))}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any] | None, place: str) -> PushedCard | None:
        """Parse the metadata of a Qdrant collection; None if it has no card.

        Args:
            metadata: The metadata.
            place: Name of the collection in messages.

        Raises:
            CollectionFormatError: The card has another version, or was changed.
        """
        raw = (metadata or {}).get(METADATA_KEY)
        if raw is None:
            return None
        version = raw.get("format") if isinstance(raw, dict) else None
        if version != FORMAT:
            raise CollectionFormatError(
                f"{place} was pushed in format {version!r}, this release reads {FORMAT}; "
                "push the collection again, or use the release that pushed it"
            )
        try:
            return parse_json(cls, json.dumps(raw))
        except ValueError as error:
            raise CollectionFormatError(
                f"the metadata of {place} was changed ({str(error)[:300]}); "
                "push the collection again"
            ) from error

    def calibration(self, space: str) -> Calibration:
        """Return the calibration of a space."""
        found = (each.calibration for each in self.spaces if each.space.name == space)
        return Calibration(next(found, ()))


def content_digest(manifest: Manifest) -> str:
    """Digest everything that determines the points: an index or a text changes nothing."""
    files = [
        (file.path, file.sha256)
        for file in manifest.files
        if file.path.partition("/")[0] in POINT_FOLDERS
    ]
    spaces = [asdict(space) for space in manifest.spaces]
    text = json.dumps([FORMAT, spaces, sorted(files)])
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(read_regular(path)).hexdigest()
    except OSError as error:
        raise CollectionDamagedError(
            f"{path} cannot be read: {error.strerror}; restore it from a copy"
        ) from error


def _pushed_space(snapshot: Snapshot, space: Space) -> PushedSpace:
    cards = [IndexCard.read(folder / CARD) for folder in snapshot.index_folders(space.name)]
    # As in an opened space: the largest part counts, so its entries come last.
    statistics = tuple(
        entry for card in sorted(cards, key=lambda card: card.rows) for entry in card.calibration
    )
    latest = {(entry.query, entry.medium): entry for entry in statistics}
    return PushedSpace(space, snapshot.count_segments(space.name), tuple(latest.values()))
