"""How messages quote what they found."""

from __future__ import annotations

SHOWN = 60
"""Characters of a value that a message quotes."""


def shortened(value: object, most: int = SHOWN) -> str:
    """A value as Python writes it, cut to a length that fits into a line."""
    if isinstance(value, str | bytes):
        value = value[: most + 1]  # a value may be a whole file
    text = repr(value)
    return text if len(text) <= most else text[: most - 1] + "…"
