"""Clips of generated videos and captions that only their course in time tells apart.

Clips are put together from the frame vectors of events that were drawn once
(`retrieval.training.bundled.demo_moments`): what
a clip shows before and after its event comes from others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retrieval.demo.sequences import caption_order, short_caption
from retrieval.training.bundled.demo_moments import SAMPLING, DrawnEvent
from retrieval.types import ClipFrames

FULL_CAPTIONS: Final = 2
"""Captions of an event that state everything, its motion too: the first ones."""

BORDER_ROWS: Final = (-6, 2)
"""Where a clip may begin whose caption is about two events, in rows from their border."""

EDGE_SHARE: Final = 0.25
"""Share of the events that a video begins or ends with."""


@dataclass(frozen=True, slots=True)
class Told:
    """One event, or two in their order, and the numbers of captions that say so."""

    events: tuple[DrawnEvent, ...]
    captions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BatchGroups:
    """Groups in a batch, by what tells their members apart: nothing, a little thing, the order."""

    singles: int = 16
    families: int = 24
    orders: int = 24


class VideoLessons:
    """What there is to learn: groups of clips that look much alike, with captions.

    Args:
        families: Events in families, as `drawn_families` gives them.
        orders: Pairs of events that are told of in both orders.
        wanted: The frames of a clip.
        seed: Decides captions and pairs.

    Attributes:
        captions: All there are; `Told` and batches name them by number.
    """

    def __init__(
        self, families: Sequence[list[DrawnEvent]], orders: int, wanted: ClipFrames, seed: int
    ) -> None:
        self.captions: list[str] = []
        self._wanted = wanted
        rng = np.random.default_rng([seed, 0])
        told = [[self._event(event) for event in family] for family in families]
        self._events = [event for family in families for event in family]
        self._singles = [group for group in told if len(group) == 1]
        self._families = [group for group in told if len(group) > 1]
        self._orders = [self._both_orders(rng) for _ in range(orders)]

    def batch(
        self, shape: BatchGroups, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """Draw one.

        Returns:
            Clips, (n, frames, dim) of unit vectors; the numbers of their captions, (n,); and of
            their groups, (n,): singles first, then families, then orders.
        """
        clips, captions, groups = [], [], []
        parts = (
            (self._singles, shape.singles),
            (self._families, shape.families),
            (self._orders, shape.orders),
        )
        number = 0
        for of_kind, count in parts:
            for chosen in rng.choice(len(of_kind), min(count, len(of_kind)), replace=False):
                for told in of_kind[int(chosen)]:
                    clips.append(self._clip(told, rng))
                    captions.append(told.captions[int(rng.integers(len(told.captions)))])
                    groups.append(number)
                number += 1
        return np.stack(clips).astype(np.float32), np.array(captions), np.array(groups)

    def _event(self, event: DrawnEvent) -> Told:
        return Told((event,), self._add(*(said.text for said in event.captions[:FULL_CAPTIONS])))

    def _both_orders(self, rng: np.random.Generator) -> list[Told]:
        one, other = (self._any(rng) for _ in range(2))
        told = []
        for events in ((one, other), (other, one)):
            said = [short_caption(event.scene, event.motion, rng) for event in events]
            told.append(Told(events, self._add(caption_order(said[0], said[1], rng).text)))
        return told

    def _add(self, *captions: str) -> tuple[int, ...]:
        first = len(self.captions)
        self.captions += captions
        return tuple(range(first, len(self.captions)))

    def _any(self, rng: np.random.Generator) -> DrawnEvent:
        return self._events[int(rng.integers(len(self._events)))]

    def _clip(self, told: Told, rng: np.random.Generator) -> NDArray[np.float16]:
        """A clip in the middle of other events; it lies in its event, or near the border of two."""
        before, after = self._any(rng).vectors, self._any(rng).vectors
        first, *rest = (event.vectors for event in told.events)
        if rest:
            place = len(first) + int(rng.integers(*BORDER_ROWS))
        else:
            place = int(rng.integers(max(1, len(first) - _CLIP_ROWS + 1)))
            edge = rng.random()
            if edge < EDGE_SHARE / 2:
                before = before[:0]
            elif edge < EDGE_SHARE:
                after = after[:0]
        rows = np.concatenate([before, first, *rest, after])
        return _cut(rows, len(before) + place, self._wanted)


_CLIP_ROWS = round(SAMPLING.clip_seconds * SAMPLING.frames_per_second)


def _cut(rows: NDArray[np.float16], first: int, wanted: ClipFrames) -> NDArray[np.float16]:
    """The frames of the clip that begins at a row, as `ClipCutter` chooses them."""
    context = wanted.context_seconds
    parts = (np.arange(wanted.frames) + 0.5) / wanted.frames
    seconds = parts * (SAMPLING.clip_seconds + 2 * context) - context
    places = first + np.floor(seconds * SAMPLING.frames_per_second + 1e-6).astype(np.int64)
    cut: NDArray[np.float16] = rows[places.clip(0, len(rows) - 1)]
    return cut
