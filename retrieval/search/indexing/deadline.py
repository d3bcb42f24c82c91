"""The time limit of index trials."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import IndexBuildError

EFFORT_SECONDS = 600.0
"""Default time for choosing a kind of index."""

BLOCK_ROWS = 1_000
"""Number of rows that a trial adds between two checks of the time."""


class OutOfTimeError(Exception):
    """A trial was stopped because its time is used up."""


class Deadline:
    """A time limit that starts with the creation of the object.

    Raises:
        IndexBuildError: The time is not above 0.
    """

    def __init__(self, seconds: float = EFFORT_SECONDS) -> None:
        if not seconds > 0:
            raise IndexBuildError(f"the effort must be above 0 seconds, got {seconds:g}")
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; negative after the end."""
        return self._end - time.monotonic()

    def blocks(self, rows: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Yield rows in blocks until the time is used up.

        Raises:
            OutOfTimeError: The time is used up.
        """
        for first in range(0, len(rows), BLOCK_ROWS):
            if self.left <= 0:
                raise OutOfTimeError
            yield rows[first : first + BLOCK_ROWS]
