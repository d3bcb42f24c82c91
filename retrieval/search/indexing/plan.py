"""What `index` does to a space that has an index already: as little as keeps it good.

An index is a list of immutable parts in the order of their items. New rows become a part of their
own; smaller parts before it are folded into it, as a log-structured merge tree does (O'Neil et al.,
1996), so that a row is rewritten a logarithmic number of times and parts stay few. All parts share
the quantizer of the first one until the space has twice the rows that it was trained for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from indexes.candidates import EXACT_BELOW_ROWS
from retrieval.search.indexing.card import IndexCard
from retrieval.search.indexing.request import IndexRequest

FOLDED = 2
"""A part of at most so many times the rows after it is folded into one with them."""

OUTGROWN = 2
"""A quantizer serves until the space has so many times the rows that it was trained for."""

REMOVED_SHARE = 0.2
"""With more rows than this masked, a part is written again without them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do.

    Attributes:
        kept: Leading parts that stay as they are.
        work: Whether anything is written.
        train: Whether the kind of index is chosen and trained anew; nothing is kept then.
        reason: Why, in words.
    """

    kept: int
    work: bool
    train: bool
    reason: str


def plan_index(
    cards: Sequence[IndexCard],
    request: IndexRequest | None,
    *,
    new_rows: int,
    removed_rows: Sequence[int],
) -> Plan:
    """Decide what `index` has to do.

    Args:
        cards: Of the parts there are, in item order.
        request: What is asked for; None: what was asked for before.
        new_rows: Rows of no part yet.
        removed_rows: Rows of each part whose items were removed.
    """
    if not cards:
        return Plan(0, True, True, "there is none yet")
    if request is not None and request != cards[0].request:
        return Plan(0, True, True, "another one was asked for")
    rows = new_rows + sum(card.rows for card in cards)
    kind = cards[0].request.kind
    chosen = kind != "exact" and (kind != "auto" or rows >= EXACT_BELOW_ROWS)
    if chosen and rows >= OUTGROWN * max(1, cards[0].trained_for):
        return Plan(0, True, True, f"it was trained for {cards[0].trained_for:,} rows of {rows:,}")
    masked = [
        number
        for number, (card, removed) in enumerate(zip(cards, removed_rows, strict=True))
        if removed > REMOVED_SHARE * card.rows
    ]
    kept = masked[0] if masked else len(cards)
    growing = new_rows + sum(card.rows for card in cards[kept:])
    if not growing:
        return Plan(len(cards), False, False, "the index is current, kept")
    while kept and cards[kept - 1].rows <= FOLDED * growing:
        kept -= 1
        growing += cards[kept].rows
    if masked:
        return Plan(kept, True, False, "many of its items were removed")
    folded = len(cards) - kept
    parts = f", {folded} part{'s' if folded > 1 else ''} folded in" if folded else ""
    return Plan(kept, True, False, f"{new_rows:,} new rows{parts}")
