"""Counts the items, rows and files of a collection."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from retrieval.store.reader import Snapshot


@dataclass(frozen=True, slots=True)
class SpaceStatus:
    """One space; `index` holds the generations of the parts of its index."""

    name: str
    encoder: str
    dim: int
    media: tuple[str, ...]
    rows: int
    index: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """Counts of one generation.

    Attributes:
        bytes: Size of the listed files.
        texts: Texts by source.
        text_index: Generations of the parts of the index of texts.
    """

    generation: int
    items: dict[str, int]
    removed: int
    failures: int
    bytes: int
    spaces: tuple[SpaceStatus, ...]
    texts: dict[str, int] = field(default_factory=dict)
    text_index: tuple[str, ...] = ()

    @classmethod
    def of(cls, snapshot: Snapshot) -> Status:
        """Count the content of a generation."""
        items: Counter[str] = Counter()
        for batch in snapshot.iter_items():
            items.update(batch.column("modality").to_pylist())
        spaces = []
        for space in snapshot.spaces:
            folders = snapshot.index_folders(space.name)
            spaces.append(
                SpaceStatus(
                    name=space.name,
                    encoder=space.encoder,
                    dim=space.dim,
                    media=tuple(medium.value for medium in space.media),
                    rows=sum(
                        file.rows for file in snapshot.manifest.files_in(f"segments/{space.name}")
                    ),
                    index=tuple(folder.name for folder in folders),
                )
            )
        return cls(
            generation=snapshot.manifest.generation,
            items=dict(sorted(items.items())),
            removed=len(snapshot.removed_ids()),
            failures=len(snapshot.failures()),
            bytes=sum(file.bytes for file in snapshot.manifest.files),
            spaces=tuple(spaces),
            texts=snapshot.text_counts(),
            text_index=tuple(folder.name for folder in snapshot.text_index_folders()),
        )

    def summary(self) -> str:
        """Format the counts in one line: `30 items (24 image, 6 audio), 1 space, indexed`."""
        total = sum(self.items.values())
        modalities = self._modalities()
        indexed = sum(bool(space.index) for space in self.spaces)
        index = {0: "not indexed", len(self.spaces): "indexed"}.get(
            indexed, f"{indexed} of them indexed"
        )
        return (
            f"{total} item{'' if total == 1 else 's'}{f' ({modalities})' if modalities else ''}, "
            f"{len(self.spaces)} space{'' if len(self.spaces) == 1 else 's'}, {index}, "
            f"generation {self.generation}"
        )

    def text(self) -> str:
        """Format the counts as text, one fact per line."""
        masked = ", masked until their parts are written again" if self.removed else ""
        lines = [
            f"generation {self.generation}, {self.bytes / 1e6:.1f} MB on disk",
            f"items       {sum(self.items.values())} ({self._modalities() or 'none'})",
            f"removed     {self.removed}{masked}",
            f"failures    {self.failures}",
            f"texts       {self._texts()}",
        ]
        for space in self.spaces:
            parts = ", ".join(space.index)
            index = f"index parts of generation {parts}" if space.index else "no index"
            lines.append(
                f"space       {space.name}: {space.rows} rows of {space.dim} numbers "
                f"by {space.encoder}, {index}"
            )
        return "\n".join(lines)

    def _texts(self) -> str:
        total = sum(self.texts.values())
        if not total:
            return "none"
        sources = ", ".join(f"{count} {source}" for source, count in self.texts.items())
        parts = ", ".join(self.text_index)
        index = f"index parts of generation {parts}" if parts else "no index"
        return f"{total} ({sources}), {index}"

    def _modalities(self) -> str:
        return ", ".join(f"{count} {modality}" for modality, count in self.items.items())
