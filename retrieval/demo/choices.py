"""Draws random choices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np

Choice = TypeVar("Choice")


def pick(
    rng: np.random.Generator, choices: Iterable[Choice], p: tuple[float, ...] | None = None
) -> Choice:
    """Draw one of the choices, uniformly or with the probabilities `p`."""
    options = tuple(choices)
    return options[int(rng.integers(len(options)) if p is None else rng.choice(len(options), p=p))]
