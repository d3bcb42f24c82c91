"""Embeds the texts of a suite once, and caches their vectors in a file."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.collection import Collection
from retrieval.files.arrays import read_array
from retrieval.files.writing import write_atomically
from retrieval.types import Space


def cached_text_vectors(
    folder: Path, collection: Collection, space: Space, texts: Sequence[str]
) -> NDArray[np.float32]:
    """Embed texts in a space, or read the vectors that an earlier run cached.

    Args:
        folder: Folder of the cache. The file name depends on the space and the texts.
        collection: Loads the encoder of the space if no vectors are cached.
        space: The space.
        texts: The texts.

    Returns:
        (texts, dim) float32 of unit length.
    """
    digest = hashlib.sha256(json.dumps([space.digest, *texts]).encode()).hexdigest()
    path = folder / f"{space.name}-{digest[:16]}.npy"
    cached = _read(path, (len(texts), space.dim))
    if cached is not None:
        return cached
    vectors = collection.encoder(space).encode_text(texts)
    folder.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    np.save(content, vectors)
    with write_atomically(path) as file:
        file.write(content.getbuffer())
    return vectors


def _read(path: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """Read an array; None if the file is missing, damaged, or of another shape."""
    try:
        vectors = read_array(path)
    except (OSError, ValueError):
        return None
    return vectors if vectors.shape == shape and vectors.dtype == np.float32 else None
