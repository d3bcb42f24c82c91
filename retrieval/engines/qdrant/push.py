"""Pushes a generation of a collection to Qdrant.

A push creates a Qdrant collection for the generation, or copies the one before inside the server,
sends the points that are missing or different, compares counts, and then switches the alias. It can
be interrupted at any time: the next push continues.
"""

from __future__ import annotations

import logging
import os
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from retrieval.engines.qdrant.address import QdrantAddress, default_name
from retrieval.engines.qdrant.card import PushedCard
from retrieval.engines.qdrant.generations import (
    Generations,
    PushedGeneration,
    check_same_collection,
    completed,
)
from retrieval.engines.qdrant.payload import DIGEST, ITEM_ID, MODALITY
from retrieval.engines.qdrant.points import Point, iter_batches, iter_points
from retrieval.engines.qdrant.server import QdrantServer
from retrieval.errors import QueryError, ServerError
from retrieval.progress import Progress, no_progress
from retrieval.store.blocks import isin_sorted
from retrieval.store.reader import Snapshot

logger = logging.getLogger(__name__)

SCROLL_POINTS = 4096
"""Points of one page when surplus points are looked for."""


@dataclass(frozen=True, slots=True)
class PushReport:
    """Result of a push.

    Attributes:
        address: Address with the name, for searches.
        collection: The Qdrant collection that the alias names.
        points: Number of points.
        sent: Points that were sent; the others were there.
        surplus: Points that were deleted: those of removed items in a copied collection.
        deleted: Older Qdrant collections that were deleted.
    """

    address: str
    collection: str
    generation: int
    points: int
    sent: int
    surplus: int
    deleted: tuple[str, ...]


def push(
    collection: str | os.PathLike[str],
    address: str,
    *,
    keep: int = 2,
    replace_other: bool = False,
    progress: Progress = no_progress,
) -> PushReport:
    """Push the current generation of a collection.

    Args:
        collection: The folder.
        address: `qdrant://HOST:6333/NAME`, `qdrants://…` for TLS, or `qdrant+file:FOLDER#NAME`. The
            default name is that of the folder. The environment variable QDRANT_API_KEY has the key.
        keep: Number of older generations to keep in Qdrant.
        replace_other: Replace a collection of the same name that has another path or models.
        progress: Receives the number of rows that are compared or sent.

    Raises:
        QueryError: The address is invalid, or the name belongs to something else.
        OutputExistsError: Another collection has pushed under this name.
        SpaceMismatchError: The pushed collection has a space of the same name and another digest.
        ServerError: No server answers, it refuses a request, or counts differ at the end.
        StorageError: The disk of a folder is full.
        MissingExtraError: qdrant-client is not installed.
    """
    if keep < 0:
        raise QueryError(f"the number of generations to keep must be at least 0, got {keep}")
    root = Path(collection).expanduser()
    place = QdrantAddress.parse(address)
    snapshot = Snapshot.open(root)
    name = place.name or default_name(root.resolve())
    place = place.named(name)
    card = PushedCard.of(snapshot, name)
    if not card.spaces:
        raise QueryError(f"{root} has no vectors; embed media first")
    with QdrantServer(place, create=True) as server:
        generations = Generations(server, name)
        before = generations.replaced()
        if before is not None and not replace_other:
            check_same_collection(before, card, f"{name} at {place.place}")
        generation, is_new = _prepare(generations, before, card)
        sync = _Sync(server, snapshot, generation)
        if not is_new and sync.is_done():
            generation = replace(
                generation,
                card=replace(
                    card, complete=True, points=generation.card.points, items=generation.card.items
                ),
            )
        else:
            generations.index_payload(generation)
            sync.run(progress, compare=not is_new)
            generation = completed(
                replace(generation, card=card), sync.points, dict(sorted(sync.items.items()))
            )
        generations.write_card(generation)
        generations.switch(generation)
        deleted = generations.prune(generation, keep)
    return PushReport(
        str(place),
        generation.collection,
        card.generation,
        generation.card.points,
        sync.sent,
        sync.surplus,
        tuple(deleted),
    )


def _prepare(
    generations: Generations, before: PushedGeneration | None, card: PushedCard
) -> tuple[PushedGeneration, bool]:
    """Find, copy or create the Qdrant collection of a card; say whether it is empty."""
    found = generations.find(card)
    if found is not None:
        if found.card.content != card.content:  # a copy whose push was interrupted
            found = replace(found, card=card)
            generations.write_card(found)
        return found, False
    copied = generations.copy(before, card) if before is not None else None
    if copied is not None:
        return copied, False
    return generations.create(card), True


@dataclass(slots=True)
class _Sync:
    """Makes the points of a Qdrant collection equal to those of a generation.

    Attributes:
        points: Number of points of the generation.
        sent: Number of points that were missing or different.
        surplus: Number of points that were deleted.
        items: Items with points, by modality.
    """

    server: QdrantServer
    snapshot: Snapshot
    generation: PushedGeneration
    points: int = 0
    sent: int = 0
    surplus: int = 0
    items: Counter[str] = field(default_factory=Counter)
    _ids: array[int] = field(default_factory=lambda: array("Q"))
    _last_item: int = -1

    def is_done(self) -> bool:
        """Whether an earlier push completed the collection, and nobody changed its counts."""
        card = self.generation.card
        return card.complete and self._count() == card.points

    def run(self, progress: Progress, *, compare: bool) -> None:
        """Send, delete and count points.

        Args:
            progress: Receives the number of rows.
            compare: Ask which points exist, and send only those that are missing or different.

        Raises:
            ServerError: The counts differ at the end.
        """
        total = sum(each.rows for each in self.generation.card.spaces)
        done = 0
        rows: Counter[str] = Counter()
        points = iter_points(self.snapshot, self.generation.card.columns)
        for batch in iter_batches(self._counted(points)):
            self._send(self._changed(batch) if compare else batch)
            for point in batch:
                rows.update(point.vectors.keys())
                done += len(point.vectors)
            progress("pushing", done, total, f"{self.sent:,} points sent")
        if self._count() > self.points:
            self._delete_surplus()
        self._check(rows)

    def _counted(self, points: Iterable[Point]) -> Iterator[Point]:
        for point in points:
            self.points += 1
            self._ids.append(UUID(point.id).int >> 64)
            if point.payload[ITEM_ID] != self._last_item:
                self._last_item = point.payload[ITEM_ID]
                self.items[point.payload[MODALITY]] += 1
            yield point

    def _changed(self, batch: list[Point]) -> list[Point]:
        """Return the points that the server lacks, or has with another digest."""
        found = self.server.call(
            "retrieve",
            self.generation.collection,
            ids=[point.id for point in batch],
            with_payload=[DIGEST],
            with_vectors=False,
        )
        digests = {str(each.id): (each.payload or {}).get(DIGEST) for each in found}
        return [point for point in batch if digests.get(point.id) != point.digest]

    def _send(self, batch: list[Point]) -> None:
        if not batch:
            return
        self.server.call(
            "upsert", self.generation.collection, points=[_struct(point) for point in batch],
            wait=True,
        )  # fmt: skip
        self.sent += len(batch)

    def _delete_surplus(self) -> None:
        """Delete points that the generation does not have."""
        expected = np.sort(np.frombuffer(self._ids, np.int64))
        offset: Any = None
        while True:
            records, offset = self.server.call(
                "scroll", self.generation.collection, limit=SCROLL_POINTS, offset=offset,
                with_payload=False, with_vectors=False,
            )  # fmt: skip
            # Ids are UUIDs here; others were added by somebody else.
            prefixes = np.array([_prefix(record.id) for record in records], np.uint64)
            known = isin_sorted(prefixes.view(np.int64), expected)
            surplus = [record.id for record, kept in zip(records, known, strict=True) if not kept]
            if surplus:
                self.server.call(
                    "delete", self.generation.collection, points_selector=surplus, wait=True
                )
                self.surplus += len(surplus)
            if offset is None:
                return

    def _check(self, rows: Counter[str]) -> None:
        """Compare the numbers of points and of vectors by space.

        Raises:
            ServerError: One differs.
        """
        from qdrant_client.models import Filter, HasVectorCondition

        counts = [("points", self._count(), self.points)]
        for each in self.generation.card.spaces:
            name = each.space.name
            condition = Filter(must=[HasVectorCondition(has_vector=name)])
            counts.append((f"vectors of {name}", self._count(condition), rows[name]))
        for what, found, expected in counts:
            if found != expected:
                raise ServerError(
                    f"{self.generation.collection} at {self.server.address.place} has {found:,} "
                    f"{what}, expected {expected:,}: something else changes it; push again"
                )

    def _count(self, condition: Any = None) -> int:
        return int(
            self.server.call(
                "count", self.generation.collection, count_filter=condition, exact=True
            ).count
        )


def _struct(point: Point) -> Any:
    from qdrant_client.models import PointStruct

    vectors: Any = {name: vector.tolist() for name, vector in point.vectors.items()}
    return PointStruct(id=point.id, vector=vectors, payload=point.payload)


def _prefix(id_: object) -> int:
    """Return the first 64 bits of a UUID; those of other ids are of no version-5 UUID."""
    try:
        return UUID(str(id_)).int >> 64
    except ValueError:
        return 0
