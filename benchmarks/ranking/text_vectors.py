"""The vectors of many texts, embedded in one go and kept: a second run loads no model for them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.collection import Collection
from retrieval.files.writing import write_atomically
from retrieval.types import Space


def text_vectors(
    folder: Path, collection: Collection, space: Space, texts: Sequence[str]
) -> NDArray[np.float32]:
    """Embed texts in a space, or read what an earlier run has kept.

    Args:
        folder: Where they are kept, under a name made of the space and the texts.
        collection: Loads the space's encoder where it is needed.
        space: The space.
        texts: What is asked.

    Returns:
        (texts, dim) float32 of unit length.
    """
    digest = hashlib.sha256(json.dumps([space.digest, *texts]).encode()).hexdigest()
    path = folder / f"{space.name}-{digest[:16]}.npy"
    kept = _kept(path, (len(texts), space.dim))
    if kept is not None:
        return kept
    vectors = collection.encoder(space).encode_text(texts)
    folder.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    np.save(content, vectors)
    with write_atomically(path) as file:
        file.write(content.getbuffer())
    return vectors


def _kept(path: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """The array in a file, or None where there is none, or a damaged one."""
    try:
        vectors = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return vectors if vectors.shape == shape and vectors.dtype == np.float32 else None


class RememberedTexts:
    """Stands for an encoder where only known texts are asked."""

    def __init__(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        self._vectors = dict(zip(texts, vectors, strict=True))

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of texts, (n, dim)."""
        return np.stack([self._vectors[text] for text in texts])
