"""Checks the vectors and times of imported rows and scales the vectors to unit length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from indexes.vectors import scale_extremes
from retrieval.columns.batches import numbers
from retrieval.exchange.item_columns import media_codes
from retrieval.exchange.item_rows import segment_of
from retrieval.exchange.row_groups import ImportedItem, RowGroup
from retrieval.store.schema import MEDIUM_CODES
from retrieval.store.space_rows import BatchRows
from retrieval.types import MediaInfo, Medium, Segments

_BLOCK_ROWS = 256
"""Vectors that are scaled together, so that they stay in the processor's cache."""

_SAFE_SQUARE = 1e20
"""Squared lengths up to this, and from its inverse on, neither overflow nor lose digits."""

_ALPHABETICAL = np.argsort(np.argsort([str(medium) for medium in MEDIUM_CODES]))
"""The rank of the name of each medium."""

_IMAGE = MEDIUM_CODES.index(Medium.IMAGE)


class InvalidRowsError(ValueError):
    """The rows of an item cannot be stored; the message is the reason of a failure."""


def segments_of(part: ImportedItem, info: MediaInfo) -> Segments:
    """Check the rows of an item and scale their vectors to unit length.

    Raises:
        InvalidRowsError: A row has a wrong medium, no times, or no usable vector.
    """
    rows = part.rows[:1] if info.modality is Medium.IMAGE else part.rows
    media, starts, ends = zip(*(segment_of(row, info) for row in rows), strict=True)
    for medium in media:
        if medium not in part.space.media:
            raise InvalidRowsError(
                f"{part.location}: of {medium}, which {part.space.encoder} does not embed"
            )
    start_seconds, end_seconds = np.array(starts, np.float32), np.array(ends, np.float32)
    if info.modality is not Medium.IMAGE and not (start_seconds < end_seconds).all():
        raise InvalidRowsError(
            f"{part.location}: a row of a recording or video needs start_seconds before "
            "end_seconds, or the item duration_seconds"
        )
    vectors, valid = unit_vectors(part.vectors[: len(rows)])
    if not valid.all():
        raise InvalidRowsError(
            f"{part.location}: vector {int(valid.argmin())} of the item is missing, NaN, infinite "
            "or zero"
        )
    order = np.lexsort((start_seconds, np.array(media)))
    return Segments(
        [media[row] for row in order], start_seconds[order], end_seconds[order], vectors[order]
    )


def unit_vectors(
    vectors: NDArray[np.floating],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Scale vectors (n, dim) to unit length.

    Returns:
        The unit vectors, and (n,) whether each vector is finite and not zero.
    """
    units, valid = np.empty(vectors.shape, np.float32), np.empty(len(vectors), np.bool_)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for first in range(0, len(vectors), _BLOCK_ROWS):
            rows = slice(first, first + _BLOCK_ROWS)
            numbers = vectors[rows]
            if numbers.dtype == np.float16:
                numbers = numbers.astype(np.float32)
            squares = np.einsum("ij,ij->i", numbers, numbers)
            if not ((squares < _SAFE_SQUARE) & (squares > 1 / _SAFE_SQUARE)).all():
                # Scale first, because squares of finite numbers such as 1e200 overflow.
                numbers = scale_extremes(numbers.astype(np.float64))
                squares = np.einsum("ij,ij->i", numbers, numbers)
            lengths = np.sqrt(squares)
            valid[rows] = np.isfinite(lengths) & (lengths > 0)
            np.divide(numbers, lengths[:, None], out=units[rows], casting="same_kind")
    return units, valid


@dataclass(frozen=True, slots=True)
class GroupSegments:
    """The segments of a group of items: parallel arrays of its n rows.

    Attributes:
        items: (n,) int64, position of the item of each row.
        media: (n,) int8, positions in `MEDIUM_CODES`.
        start_seconds: (n,) float32, NaN for an image.
        end_seconds: (n,) float32, NaN for an image.
        vectors: (n, dim) float32, of unit length in valid rows.
        valid: (n,) whether `segments_of` accepts the row. Of an image, only the first row counts.
        used: (n,) whether the row becomes a segment: not the further rows of an image.
    """

    items: NDArray[np.int64]
    media: NDArray[np.int8]
    start_seconds: NDArray[np.float32]
    end_seconds: NDArray[np.float32]
    vectors: NDArray[np.float32]
    valid: NDArray[np.bool_]
    used: NDArray[np.bool_]

    @classmethod
    def of(
        cls, group: RowGroup, modalities: NDArray[np.int8], durations: NDArray[np.float64]
    ) -> GroupSegments:
        """Convert the rows of a group with columns.

        Args:
            group: The rows.
            modalities: (items,) positions in `MEDIUM_CODES`.
            durations: (items,) seconds, NaN where unknown.
        """
        columns = group.descriptions.columns or {}
        items = np.repeat(np.arange(len(group.uris)), group.counts)
        is_image = modalities[items] == _IMAGE
        media = modalities[items]
        if "medium" in columns:
            named = media_codes(columns["medium"])
            media = np.where(named < 0, media, named)
        starts, ends = (
            np.where(is_image, np.nan, _seconds(columns.get(name), len(items)))
            for name in ("start_seconds", "end_seconds")
        )
        whole = np.nan_to_num(durations)[items]
        is_whole = np.isnan(starts) & np.isnan(ends) & (whole != 0) & ~is_image
        with np.errstate(over="ignore"):
            start_seconds = np.where(is_whole, 0, starts).astype(np.float32)
            end_seconds = np.where(is_whole, whole, ends).astype(np.float32)
        used = ~is_image
        used[group.starts] = True
        vectors, valid = unit_vectors(group.vectors)
        valid &= np.isin(media, [MEDIUM_CODES.index(medium) for medium in group.space.media])
        valid &= is_image | (start_seconds < end_seconds)
        return cls(items, media, start_seconds, end_seconds, vectors, valid, used)

    def valid_items(self, count: int) -> NDArray[np.bool_]:
        """Return which of the items have only valid rows, (count,)."""
        valid = np.ones(count, np.bool_)
        valid[self.items[self.used & ~self.valid]] = False
        return valid

    def rows(self, items: NDArray[np.bool_]) -> BatchRows:
        """Return the rows of some items, sorted as `segments_of` does, with new positions."""
        chosen = self.used & items[self.items]
        order = np.flatnonzero(chosen)
        if len(order) > items.sum():  # some items have several rows
            ranks = _ALPHABETICAL[self.media[order]]
            order = order[np.lexsort((self.start_seconds[order], ranks, self.items[order]))]
        positions = np.cumsum(items) - 1
        everything = len(order) == len(self.items) and len(order) == items.sum()
        return BatchRows(
            positions[self.items[order]],
            self.media[order],
            self.start_seconds[order],
            self.end_seconds[order],
            self.vectors if everything else self.vectors[order],
        )


def _seconds(column: pa.Array | None, count: int) -> NDArray[np.float64]:
    return np.full(count, np.nan) if column is None else numbers(column)
