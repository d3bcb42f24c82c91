"""Plans the update of an existing index with as little work as possible.

An index is a list of immutable parts in item order. New rows become a new part. Smaller parts
before it are merged into it, as in a log-structured merge tree (O'Neil et al., 1996), so that a row
is rewritten a logarithmic number of times and the number of parts stays small. All parts share the
quantizer of the first one until the space has twice the rows that it was trained for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from indexes.candidates import EXACT_BELOW_ROWS
from retrieval.search.indexing.card import IndexCard
from retrieval.search.indexing.request import IndexRequest

MERGE_FACTOR = 2
"""A part is merged with the rows after it if it has at most this many times as many."""

RETRAIN_FACTOR = 2
"""A quantizer is trained again when the space has this many times the rows it was trained for."""

MAX_REMOVED_SHARE = 0.2
"""A part is rewritten when a larger share of its rows is removed."""


@dataclass(frozen=True, slots=True)
class UpdatePlan:
    """Work to do on an index.

    Attributes:
        unchanged_parts: Number of leading parts that stay.
        write: Whether a part is written.
        train: Whether a kind is chosen and trained again; no part stays then.
        reason: Reason, for messages.
    """

    unchanged_parts: int
    write: bool
    train: bool
    reason: str


def plan_update(
    cards: Sequence[IndexCard],
    request: IndexRequest | None,
    *,
    new_rows: int,
    removed_rows: Sequence[int],
) -> UpdatePlan:
    """Plan the update of the index of one space.

    Args:
        cards: Cards of the existing parts, in item order.
        request: New requirements; None: as before.
        new_rows: Number of rows outside all parts.
        removed_rows: Number of rows of each part whose items were removed.
    """
    if not cards:
        return UpdatePlan(0, True, True, "no index yet")
    if request is not None and request != cards[0].request:
        return UpdatePlan(0, True, True, "the requirements changed")
    rows = new_rows + sum(card.rows for card in cards)
    kind, trained_for = cards[0].request.kind, cards[0].trained_for
    has_quantizer = kind != "exact" and (kind != "auto" or rows >= EXACT_BELOW_ROWS)
    if has_quantizer and rows >= RETRAIN_FACTOR * max(1, trained_for):
        return UpdatePlan(0, True, True, f"it was trained for {trained_for:,} rows of {rows:,}")
    sparse = [
        number
        for number, (card, removed) in enumerate(zip(cards, removed_rows, strict=True))
        if removed > MAX_REMOVED_SHARE * card.rows
    ]
    unchanged = sparse[0] if sparse else len(cards)
    rows_to_write = new_rows + sum(card.rows for card in cards[unchanged:])
    if not rows_to_write:
        return UpdatePlan(len(cards), False, False, "the index is current")
    while unchanged and cards[unchanged - 1].rows <= MERGE_FACTOR * rows_to_write:
        unchanged -= 1
        rows_to_write += cards[unchanged].rows
    if sparse:
        return UpdatePlan(unchanged, True, False, "many of its items were removed")
    merged = len(cards) - unchanged
    suffix = f", merged with {merged} part{'s' if merged > 1 else ''}" if merged else ""
    return UpdatePlan(unchanged, True, False, f"{new_rows:,} new rows{suffix}")
