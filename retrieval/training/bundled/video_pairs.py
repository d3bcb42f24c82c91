"""Clips of generated videos, and captions that differ in motion or in the order of events.

Clips are cut from the frame vectors of events that are drawn once
(`retrieval.training.bundled.demo_moments`). Other events surround the event of a clip.
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
"""The first captions of an event state all facts, including its motion."""

BORDER_ROWS: Final = (-6, 2)
"""Range of the start of a clip about two events, in rows from the border between them."""

EDGE_SHARE: Final = 0.25
"""Share of the events that are the first or last of their video."""

CLIP_ROWS: Final = round(SAMPLING.clip_seconds * SAMPLING.frames_per_second)


@dataclass(frozen=True, slots=True)
class CaptionedEvents:
    """One event, or two in their order, and the numbers of their captions."""

    events: tuple[DrawnEvent, ...]
    captions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BatchGroups:
    """Number of groups in a batch: single events, families of similar events, pairs of orders."""

    singles: int = 16
    families: int = 24
    orders: int = 24


class VideoPairs:
    """Groups of similar clips with captions.

    Args:
        families: Events in families, as `draw_families` returns them.
        orders: Number of pairs of events that occur in both orders.
        clip_frames: The frames of a clip.
        seed: Determines captions and pairs.

    Attributes:
        captions: All captions; batches refer to them by number.
    """

    def __init__(
        self,
        families: Sequence[list[DrawnEvent]],
        orders: int,
        clip_frames: ClipFrames,
        seed: int,
    ) -> None:
        self.captions: list[str] = []
        self._clip_frames = clip_frames
        rng = np.random.default_rng([seed, 0])
        groups = [[self._caption_event(event) for event in family] for family in families]
        self._events = [event for family in families for event in family]
        self._singles = [group for group in groups if len(group) == 1]
        self._families = [group for group in groups if len(group) > 1]
        self._orders = [self._draw_both_orders(rng) for _ in range(orders)]

    def draw_batch(
        self, sizes: BatchGroups, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """Draw a batch.

        Returns:
            Clips, (n, frames, dim) unit vectors; the numbers of their captions, (n,); and of their
            groups, (n,): singles first, then families, then orders.
        """
        clips, captions, groups = [], [], []
        pools = (
            (self._singles, sizes.singles),
            (self._families, sizes.families),
            (self._orders, sizes.orders),
        )
        number = 0
        for pool, count in pools:
            for chosen in rng.choice(len(pool), min(count, len(pool)), replace=False):
                for captioned in pool[int(chosen)]:
                    clips.append(self._draw_clip(captioned, rng))
                    captions.append(captioned.captions[int(rng.integers(len(captioned.captions)))])
                    groups.append(number)
                number += 1
        return np.stack(clips).astype(np.float32), np.array(captions), np.array(groups)

    def _caption_event(self, event: DrawnEvent) -> CaptionedEvents:
        texts = [caption.text for caption in event.captions[:FULL_CAPTIONS]]
        return CaptionedEvents((event,), self._add_captions(*texts))

    def _draw_both_orders(self, rng: np.random.Generator) -> list[CaptionedEvents]:
        first, second = (self._draw_event(rng) for _ in range(2))
        group = []
        for events in ((first, second), (second, first)):
            captions = [short_caption(event.scene, event.motion, rng) for event in events]
            text = caption_order(captions[0], captions[1], rng).text
            group.append(CaptionedEvents(events, self._add_captions(text)))
        return group

    def _add_captions(self, *captions: str) -> tuple[int, ...]:
        first = len(self.captions)
        self.captions += captions
        return tuple(range(first, len(self.captions)))

    def _draw_event(self, rng: np.random.Generator) -> DrawnEvent:
        return self._events[int(rng.integers(len(self._events)))]

    def _draw_clip(
        self, captioned: CaptionedEvents, rng: np.random.Generator
    ) -> NDArray[np.float16]:
        """Draw a clip of an event, or near the border of two, with other events around it."""
        before, after = self._draw_event(rng).vectors, self._draw_event(rng).vectors
        first, *rest = (event.vectors for event in captioned.events)
        if rest:
            start = len(first) + int(rng.integers(*BORDER_ROWS))
        else:
            start = int(rng.integers(max(1, len(first) - CLIP_ROWS + 1)))
            edge = rng.random()
            if edge < EDGE_SHARE / 2:
                before = before[:0]
            elif edge < EDGE_SHARE:
                after = after[:0]
        rows = np.concatenate([before, first, *rest, after])
        return _cut_clip(rows, len(before) + start, self._clip_frames)


def _cut_clip(
    rows: NDArray[np.float16], first: int, clip_frames: ClipFrames
) -> NDArray[np.float16]:
    """Return the frames of the clip that begins at a row, as `ClipCutter` selects them."""
    context = clip_frames.context_seconds
    shares = (np.arange(clip_frames.frames) + 0.5) / clip_frames.frames
    seconds = shares * (SAMPLING.clip_seconds + 2 * context) - context
    numbers = first + np.floor(seconds * SAMPLING.frames_per_second + 1e-6).astype(np.int64)
    frames: NDArray[np.float16] = rows[numbers.clip(0, len(rows) - 1)]
    return frames
