"""Writes collections of generated vectors, for benchmarks without a model."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.text_encoder import TextOnlyEncoder
from retrieval.protocols import Encoder
from retrieval.store.writer import CollectionWriter
from retrieval.types import (
    EmbeddedItem,
    MediaInfo,
    Medium,
    Segments,
    Space,
)

CLUSTERS = 1_000
SPREAD = 0.8
"""Noise around a cluster's centre, in units of the centre's length."""


class VectorEncoder(TextOnlyEncoder):
    """Maps texts to vectors like those of the collection."""

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Map each text to a fixed vector."""
        seeds = [int.from_bytes(text.encode()[-4:], "little") for text in texts]
        return np.concatenate([clustered(1, self.dim, seed + 1) for seed in seeds])


class TextVectors(TextOnlyEncoder):
    """An encoder that maps each text to one of n unit vectors, (n, dim)."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        super().__init__(vectors.shape[1])
        self._vectors = vectors

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Map each text to a fixed vector; two texts rarely share one."""
        return self._vectors[[zlib.crc32(text.encode()) % len(self._vectors) for text in texts]]


class TuningTexts(TextOnlyEncoder):
    """An encoder that maps a list of texts to the n unit vectors, (n, dim), in their order.

    An index that is tuned with at least n texts is therefore tuned with every vector.
    """

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        super().__init__(vectors.shape[1])
        self._vectors = vectors

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Map the texts to the vectors, which repeat if there are more texts."""
        return self._vectors[np.arange(len(texts)) % len(self._vectors)]


def clustered(count: int, dim: int, seed: int) -> NDArray[np.float32]:
    """Generate (count, dim) unit vectors in clusters, like embeddings of real media."""
    centres = np.random.default_rng(0).standard_normal((CLUSTERS, dim), np.float32)
    rng = np.random.default_rng([1, seed])
    rows = centres[rng.integers(CLUSTERS, size=count)]
    rows += SPREAD * rng.standard_normal((count, dim), np.float32)
    unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def write_vectors(root: Path, *, items: int, rows_each: int, dim: int) -> None:
    """Write a collection of clustered vectors; see `write_items`."""
    block = max(1, 10_000 // rows_each)
    counts = ((first, min(block, items - first)) for first in range(0, items, block))
    blocks = (clustered(count * rows_each, dim, first) for first, count in counts)
    write_items(root, blocks, rows_each=rows_each, encoder=VectorEncoder(dim))


def write_items(
    root: Path,
    blocks: Iterable[NDArray[np.floating]],
    *,
    rows_each: int,
    encoder: Encoder,
    space: Space | None = None,
) -> None:
    """Write a collection of items with metadata: pictures of one row, or videos of several.

    Args:
        root: Folder of the collection.
        blocks: (n × rows_each, dim) unit vectors of n items each.
        rows_each: Rows per item.
        encoder: Encoder of the space.
        space: The space; None for one without a digest of options.
    """
    space = space or Space(
        f"vectors-{encoder.dim}", encoder.spec, encoder.dim, encoder.media, encoder.digest
    )
    medium = Medium.IMAGE if rows_each == 1 else Medium.VIDEO
    number = 0
    with CollectionWriter.open(root, create=True) as writer:
        writer.add_space(space)
        for block in blocks:
            for vectors in block.reshape(-1, rows_each, encoder.dim):
                writer.add(item_of_vectors(number, medium, space, vectors))
                number += 1
                if writer.is_due():
                    writer.publish()


def item_of_vectors(
    number: int, medium: Medium, space: Space, vectors: NDArray[np.float32]
) -> EmbeddedItem:
    """Build an item with metadata from its (n, dim) unit vectors."""
    info = MediaInfo(
        uri=f"/archive/{number % 100:02}/{number:07}.bin",
        modality=medium,
        bytes=100_000 + number,
        mtime=1.7e9 + number,
        sha256=f"{number:064x}",
        width=640,
        height=480,
        caption=f"entry {number} of the archive",
        columns={"year": 1990 + number % 30, "place": f"place {number % 500}"},
    )
    if medium is Medium.IMAGE:
        starts = ends = np.full(len(vectors), np.nan, np.float32)
    else:
        starts = 2 * np.arange(len(vectors), dtype=np.float32)
        ends = starts + 2
    return EmbeddedItem(
        info, {space.name: Segments([medium] * len(vectors), starts, ends, vectors)}
    )
