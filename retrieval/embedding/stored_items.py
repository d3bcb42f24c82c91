"""Lists the existing items that a space lacks, with what a run needs to embed them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from retrieval.media.names import container_of
from retrieval.store.reader import Snapshot
from retrieval.types import Medium, Space


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An existing item without rows in some space."""

    item_id: int
    uri: str
    modality: Medium
    sha256: str

    @property
    def container(self) -> str:
        """The file to open: the tar of a member, otherwise the item itself."""
        return container_of(self.uri)[0]


def stored_items(snapshot: Snapshot, after_item_id: int) -> Iterator[StoredItem]:
    """Yield the items after an id, in order of their ids."""
    for batch in snapshot.iter_items(after_item_id=after_item_id):
        columns = (
            batch.column(name).to_pylist() for name in ("item_id", "uri", "modality", "sha256")
        )
        for item_id, uri, modality, sha256 in zip(*columns, strict=True):
            yield StoredItem(item_id, uri, Medium(modality), sha256)


def embeds(space: Space, modality: Medium) -> bool:
    """Return whether items of a modality can have rows in a space; videos have sound, too."""
    return modality in space.media or (modality is Medium.VIDEO and Medium.AUDIO in space.media)
