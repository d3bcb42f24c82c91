"""Items made of given vectors, in collections that no model has a part in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.store.writer import CollectionWriter
from retrieval.types import EmbeddedItem, MediaInfo, Medium, Scalar, Segments, Space

DIM = 32
SPACE = Space(
    "vectors-00000001", "toy:vectors", DIM, (Medium.IMAGE, Medium.VIDEO, Medium.AUDIO), "0" * 64
)


def directions(count: int, seed: int = 0) -> NDArray[np.float32]:
    """(count, DIM) random unit vectors."""
    rows = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return unit(rows)


def near(rows: NDArray[np.float32], noise: float, seed: int = 1) -> NDArray[np.float32]:
    """The same directions but for a little noise: a cosine of about 1 - noise² / 2."""
    return unit(rows + noise * directions(len(rows), seed))


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def item_of(
    name: str, modality: Medium, vectors: NDArray[np.float32], **columns: Scalar
) -> EmbeddedItem:
    """A picture of one vector, or a recording or video with a segment of two seconds for each."""
    starts = 2 * np.arange(len(vectors), dtype=np.float32)
    if modality is Medium.IMAGE:
        starts = np.full(len(vectors), np.nan, np.float32)
    info = MediaInfo(
        uri=f"/archive/{name}", modality=modality, bytes=1, mtime=1.0, sha256="0" * 64,
        caption=f"what {name} shows", columns=columns,
    )  # fmt: skip
    rows = Segments([modality] * len(vectors), starts, starts + 2, vectors)
    return EmbeddedItem(info, {SPACE.name: rows})


def write_items(root: Path, items: Sequence[EmbeddedItem]) -> None:
    """Add items to a collection of the one space, made where there is none."""
    with CollectionWriter.open(root, create=True) as writer:
        if writer.snapshot is None:
            writer.add_space(SPACE)
        for item in items:
            writer.add(item)
