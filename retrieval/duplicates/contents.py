"""The items and rows of one or several snapshots, numbered through."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from retrieval.duplicates.same_files import alias_ids
from retrieval.errors import SpaceMismatchError
from retrieval.search.items import HIDDEN, MEDIA, modality_codes, spread
from retrieval.search.member import ItemRow
from retrieval.search.members import united_spaces
from retrieval.search.open_space import OpenedSpace, Part
from retrieval.store.blocks import id_array
from retrieval.store.reader import Snapshot
from retrieval.types import Scalar, Space

Place = tuple[str | None, int]
"""Name of a collection, None for a single one, and the id of an item in it."""


class Contents:
    """What is compared: the ids of each snapshot follow those of the snapshots before it.

    Attributes:
        spaces: All spaces by name.
        item_ids: (items,) int64, ascending.
        modalities: (items,) int8 modality codes.

    Args:
        snapshots: The snapshots by name; the name of a single one does not matter.
        is_named: Whether places name their snapshot.

    Raises:
        SpaceMismatchError: Spaces of the same name have different models.
    """

    def __init__(self, snapshots: Mapping[str, Snapshot], *, is_named: bool) -> None:
        self._names = list(snapshots)
        self._is_named = is_named
        self._snapshots = list(snapshots.values())
        counts = [snapshot.manifest.next_item_id for snapshot in self._snapshots]
        self._first_ids = list(accumulate(counts, initial=0))
        self.spaces = united_spaces({name: each.spaces for name, each in snapshots.items()})
        ids, codes = [np.empty(0, np.int64)], [np.empty(0, np.int8)]
        for first, snapshot in self._numbered():
            for batch in snapshot.iter_columns(["item_id", "modality"]):
                ids.append(first + id_array(batch))
                codes.append(modality_codes(batch.column("modality")))
        self.item_ids: NDArray[np.int64] = np.concatenate(ids)
        self.modalities: NDArray[np.int8] = np.concatenate(codes)

    def _numbered(self) -> list[tuple[int, Snapshot]]:
        """Return each snapshot with the first of its ids."""
        return list(zip(self._first_ids[:-1], self._snapshots, strict=True))

    def space(self, name: str) -> Space:
        """Return the space of a name.

        Raises:
            SpaceMismatchError: No snapshot has a space of that name.
        """
        if name not in self.spaces and len(self._snapshots) > 1:
            known = ", ".join(self.spaces) or "none"
            raise SpaceMismatchError(f"no collection has the space {name!r}; known: {known}")
        return self.spaces.get(name) or self._snapshots[0].space(name)

    def parts(self, space: str) -> list[Part]:
        """Open the parts of a space."""
        return [
            part.shifted(first)
            for first, snapshot in self._numbered()
            for each in snapshot.spaces
            if each.name == space
            for part in OpenedSpace(snapshot, each).parts
        ]

    def excluded_ids(self) -> NDArray[np.int64]:
        """Return the sorted ids of removed items and of further paths of a file."""
        removed = [snapshot.removed_ids() + first for first, snapshot in self._numbered()]
        return np.union1d(np.concatenate(removed), alias_ids(self._numbered()))

    def modalities_of(self, item_ids: NDArray[np.int64]) -> NDArray[np.int8]:
        """Return the modality codes of items; -1 for other ids."""
        return spread(self.item_ids, self.modalities, item_ids, np.int8(-1))

    def place(self, item_id: int) -> Place:
        """Return the collection of an item, and its id there."""
        number = int(np.searchsorted(self._first_ids, item_id, side="right")) - 1
        number = min(number, len(self._names) - 1)
        return self._names[number] if self._is_named else None, item_id - self._first_ids[number]

    def rows(self, item_ids: NDArray[np.int64]) -> list[ItemRow]:
        """Read uri, modality and non-null metadata of items with ascending ids."""
        rows: list[ItemRow] = []
        bounds = np.searchsorted(item_ids, self._first_ids)
        for (first, snapshot), (a, b) in zip(self._numbered(), pairwise(bounds), strict=True):
            for batch in snapshot.items(item_ids[a:b] - first):
                rows += map(_row, batch.to_pylist())
        return rows


def _row(values: dict[str, Scalar]) -> ItemRow:
    metadata: dict[str, Scalar] = {
        name: value for name, value in values.items() if value is not None and name not in HIDDEN
    }
    return str(values["uri"]), MEDIA[values["modality"]], metadata
