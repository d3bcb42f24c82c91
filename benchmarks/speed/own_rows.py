"""Reads rows and texts of a user for the benchmark `index`, and checks them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import SourceError

BLOCK_ROWS = 16_384
MIN_ROWS, MIN_TEXTS = 1_000, 100
MAX_QUERIES = 1_000
"""Largest number of texts for tuning, and of texts for measuring."""

DTYPES = (np.dtype(np.float16), np.dtype(np.float32))


class OwnRows:
    """Rows and texts of two `.npy` files, scaled to unit length, without repetitions.

    Rows that are equal in float16 to an earlier one are left out, because the recall counts ids.
    Repeated texts are left out, so that no text is used for both tuning and measuring.

    Args:
        rows: File of (rows, dim) float16 or float32.
        texts: File of (texts, dim) float16 or float32.

    Attributes:
        rows: Number of rows.
        dim: Dimension.
        left_out: Number of repeated rows.
        tune: (n, dim) float32 unit texts for tuning, a random half of at most `MAX_QUERIES`.
        ask: The other half, for measuring.
        name: The line in the text file beside the rows (`rows.txt` for `rows.npy`), or the name of
            the rows.
        digest: sha256 of both files in hex.

    Raises:
        SourceError: A file is missing or not such an array, the dimensions differ, a number is not
            finite, a row has no direction, or there are too few.
    """

    def __init__(self, rows: Path, texts: Path) -> None:
        self._array, own_texts = _read(rows), _read(texts)
        self.dim = self._array.shape[1]
        if own_texts.shape[1] != self.dim:
            raise SourceError(
                f"{texts} has {own_texts.shape[1]} numbers per text, {rows} has {self.dim} per "
                "row; encode both with the same model"
            )
        self._kept = _first_of_equal(self._array, rows)
        self.rows = len(self._kept)
        self.left_out = len(self._array) - self.rows
        distinct = _first_of_equal(own_texts, texts)
        for path, count, least in ((rows, self.rows, MIN_ROWS), (texts, len(distinct), MIN_TEXTS)):
            if count < least:
                raise SourceError(f"{path} has {count} distinct vectors, expected at least {least}")
        order = np.random.default_rng(0).permutation(distinct)
        half = min(MAX_QUERIES, len(order) // 2)
        unit = _unit(own_texts[order[: 2 * half]], texts, 0)
        self.tune, self.ask = unit[:half], unit[half:]
        described = rows.with_suffix(".txt")
        self.name = _first_line(described) if described.is_file() else rows.name
        self.digest = _digest(rows, texts)

    def block(self, first: int, last: int) -> NDArray[np.float16]:
        """Read rows first … last - 1, (last - first, dim) of unit length."""
        return _unit(self._array[self._kept[first:last]], Path(), 0).astype(np.float16)


def _read(path: Path) -> NDArray[np.floating]:
    """Map an array of float vectors into memory."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}; name a .npy file") from error
    except (ValueError, EOFError) as error:
        raise SourceError(f"{path} is not a .npy array of numbers: {error}") from error
    if not isinstance(array, np.ndarray):
        raise SourceError(f"{path} holds several arrays, expected a .npy file with one")
    if array.ndim != 2:
        raise SourceError(f"{path} has the shape {array.shape}, expected (rows, dimension)")
    if array.dtype not in DTYPES:
        raise SourceError(f"{path} has numbers of type {array.dtype}, expected float16 or float32")
    return array


def _first_of_equal(array: NDArray[np.floating], path: Path) -> NDArray[np.int64]:
    """Return the positions of vectors that equal no earlier one in float16, and check all."""
    seen: set[bytes] = set()
    kept = []
    for first in range(0, len(array), BLOCK_ROWS):
        unit = _unit(array[first : first + BLOCK_ROWS], path, first).astype(np.float16)
        for position, row in enumerate(unit, first):
            digest = hashlib.blake2b(row.tobytes(), digest_size=16).digest()
            if digest not in seen:
                seen.add(digest)
                kept.append(position)
    return np.array(kept, np.int64)


def _unit(block: NDArray[np.floating], path: Path, first: int) -> NDArray[np.float32]:
    """Scale vectors to unit length; `first` is the position of the first one in the file."""
    vectors = block.astype(np.float32)
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    wrong = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(wrong):
        length = lengths[wrong[0], 0]
        problem = "only zeros" if length == 0 else "NaN or infinite numbers"
        raise SourceError(f"{path}: row {first + wrong[0]} has {problem}; remove it")
    unit: NDArray[np.float32] = (vectors / lengths).astype(np.float32)
    return unit


def _first_line(path: Path) -> str:
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read as a description: {error}") from error
    return " ".join(text.split("\n", 1)[0].split()) or path.name


def _digest(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
