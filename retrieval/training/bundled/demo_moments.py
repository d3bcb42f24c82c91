"""Moments of the demo world, drawn in bulk without writing a video file.

A frame's vector depends on its own event only. So every event is drawn once, at the times at which
`embed` would sample it, and videos are put together from the vectors of events.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.demo.captions import SceneCaption, caption_scene
from retrieval.demo.drawing import PICTURE_PIXELS, render_scene
from retrieval.demo.look_alikes import sample_motions
from retrieval.demo.scenes import Motion, Scene, sample_scene
from retrieval.demo.variations import vary_scene
from retrieval.demo.videos import EVENT_SECONDS, FRAMES_PER_SECOND, MOVING_SHARE, Video
from retrieval.localization.spans import Span
from retrieval.media.images.fitting import fit
from retrieval.protocols import Encoder
from retrieval.search.moments import frame_rows
from retrieval.training.bundled.workers import draw
from retrieval.training.moments.data import AskedMoment, MomentData, with_rivals
from retrieval.training.run import NOBODY, Telling
from retrieval.types import Frames, ImageGeometry, Sampling, TimedRows

MOMENTS: Final = 4
"""First element of every seed: no other split draws from these streams."""

SAMPLING: Final = Sampling()
FAMILY_SHARES: Final = (0.5, 0.3, 0.2)
"""Events on their own; one scene that moves in several ways; scenes that differ in one thing."""

LOOK_ALIKE_VIDEOS: Final = 0.4
"""Share of the videos that hold a family of look-alikes."""

VIDEO_ROWS: Final = (40, 128)
"""Shortest and longest video: 20 to 64 seconds."""

LONGEST_ALIKE: Final = 12.0
"""Seconds of a look-alike at most, so that a minute holds a family of them."""

CAPTIONS_EACH: Final = (1.0, 1.0, 0.6)
"""Share of the facts in each of an event's captions."""

_FAMILIES_PER_JOB: Final = 16


@dataclass(frozen=True, slots=True)
class DrawnEvent:
    """What an event shows, its captions, and the vectors of its frames, (n, dim) float16."""

    scene: Scene
    motion: Motion
    captions: tuple[SceneCaption, ...]
    vectors: NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class _EventPlan:
    scene: Scene
    motion: Motion
    captions: tuple[SceneCaption, ...]
    frames: int  # of the video, not of the samples
    offset: int  # frames before the first sample


_Job = tuple[int, int, ImageGeometry]  # seed, number, how pictures are fitted
_Block = list[list[tuple[_EventPlan, NDArray[np.uint8]]]]  # families of events with pictures


def demo_moments(
    events: int,
    videos: int,
    encoder: Encoder,
    *,
    seed: int,
    telling: Telling = NOBODY,
) -> MomentData:
    """Draw events, embed their frames, and put videos together.

    Args:
        events: How many to draw, about.
        videos: How many to put together; an event may come in several.
        encoder: Embeds frames and captions.
        seed: Decides everything.
        telling: Who hears of it.
    """
    families = drawn_families(events, encoder, seed=seed, telling=telling)
    rng = np.random.default_rng([MOMENTS, seed, 2**31])
    shown = [compose(families, rng) for _ in range(videos)]
    asked: list[AskedMoment] = []
    captions: list[SceneCaption] = []
    for number, video in enumerate(shown):
        for caption, windows in _questions(video, rng):
            asked.append(AskedMoment(number, caption.text, windows))
            captions.append(caption)
    with half_precision():
        sentences = encoder.encode_text([one.text for one in asked])

    def answers(query: int, video: int) -> bool:
        caption = captions[query]
        return any(caption.describes(event.scene, event.motion) for event in shown[video])

    return with_rivals([rows_of(video) for video in shown], asked, sentences, answers=answers)


def drawn_families(
    events: int, encoder: Encoder, *, seed: int, telling: Telling
) -> list[list[DrawnEvent]]:
    """Draw at least `events` events in families, and embed their frames."""
    geometry = encoder.geometry
    assert geometry is not None  # an encoder of pictures has one
    # A family has 1.6 events on average; a job more than are needed hurts nobody.
    jobs = [(seed, job, geometry) for job in range(-(-events // _FAMILIES_PER_JOB))]
    families: list[list[DrawnEvent]] = []
    for block in draw(_draw_families, jobs):
        families += _embedded(block, encoder)
        drawn = sum(map(len, families))
        telling.progress("draw and embed events", drawn, events, "")
        if drawn >= events:
            break
    return families


def half_precision() -> torch.autocast:
    """Embed in bfloat16: three times as fast on CPUs with AMX, at a cosine above 0.9999."""
    return torch.autocast("cuda" if torch.cuda.is_available() else "cpu", torch.bfloat16)


def compose(families: list[list[DrawnEvent]], rng: np.random.Generator) -> list[DrawnEvent]:
    """Put events together to a video of `VIDEO_ROWS`; some hold a whole family of look-alikes."""
    alike = [family for family in families if len(family) > 1]
    chosen: list[DrawnEvent] = []
    if alike and rng.random() < LOOK_ALIKE_VIDEOS:
        chosen += alike[int(rng.integers(len(alike)))]
    low, high = VIDEO_ROWS
    target = rng.uniform(low, high)
    rows = sum(len(event.vectors) for event in chosen)
    while rows < target:
        family = families[int(rng.integers(len(families)))]
        event = family[int(rng.integers(len(family)))]
        chosen.append(event)
        rows += len(event.vectors)
    order = [chosen[number] for number in rng.permutation(len(chosen))]
    kept: list[DrawnEvent] = []
    for event in order:
        if kept and sum(len(e.vectors) for e in kept) + len(event.vectors) > high:
            continue
        kept.append(event)
    return kept


def rows_of(events: list[DrawnEvent]) -> TimedRows:
    """The rows of a video made of events, as a collection would give them to a localizer."""
    vectors = np.concatenate([event.vectors for event in events])
    step = 1 / SAMPLING.frames_per_second
    seconds = (np.arange(len(vectors)) * step).astype(np.float32)
    return frame_rows(Frames(seconds, vectors), len(vectors) * step)


def video_pictures(video: Video, geometry: ImageGeometry) -> NDArray[np.uint8]:
    """The frames of a video as `embed` samples them, drawn without encoding: (n, side, side, 3)."""
    pictures = []
    for event in video.events:
        first = round(event.start_seconds * FRAMES_PER_SECOND)
        count = round(event.end_seconds * FRAMES_PER_SECOND) - first
        offset = -first % _frames_per_sample()
        pictures += _pictures(event.scene, event.motion, count, offset, geometry)
    return np.stack(pictures)


def _questions(
    video: list[DrawnEvent], rng: np.random.Generator
) -> Iterator[tuple[SceneCaption, tuple[Span, ...]]]:
    """One caption of every event, with all spans of the video that it is true of."""
    rows = rows_of(video)
    lasts = np.cumsum([len(event.vectors) for event in video]) - 1
    firsts = [0, *(lasts[:-1] + 1)]
    spans = [
        (float(rows.start_seconds[first]), float(rows.end_seconds[last]))
        for first, last in zip(firsts, lasts, strict=True)
    ]
    for event in video:
        caption = event.captions[int(rng.integers(len(event.captions)))]
        windows = [
            span
            for other, span in zip(video, spans, strict=True)
            if caption.describes(other.scene, other.motion)
        ]
        yield caption, tuple(windows)


# ---------------------------------------------------------------- drawing, in worker processes


def _draw_families(job: _Job) -> _Block:
    """Plans of some families with their pictures; equal ones of a still event come once."""
    seed, number, geometry = job
    rng = np.random.default_rng([MOMENTS, seed, number])
    return [
        [
            (plan, np.stack(_pictures(plan.scene, plan.motion, plan.frames, plan.offset, geometry)))
            for plan in _family(rng)
        ]
        for _ in range(_FAMILIES_PER_JOB)
    ]


def _family(rng: np.random.Generator) -> list[_EventPlan]:
    scene = sample_scene(rng)
    kind = int(rng.choice(3, p=FAMILY_SHARES))
    if kind == 0:
        return [_plan(scene, _any_motion(rng), rng)]
    if kind == 1:
        return [_plan(scene, motion, rng, longest=LONGEST_ALIKE) for motion in sample_motions(rng)]
    motion = _any_motion(rng)
    return [_plan(one, motion, rng) for one in (scene, vary_scene(scene, rng))]


def _plan(
    scene: Scene, motion: Motion, rng: np.random.Generator, *, longest: float = EVENT_SECONDS[1]
) -> _EventPlan:
    seconds = rng.uniform(EVENT_SECONDS[0], longest)
    captions = tuple(
        caption_scene(scene, rng, motion=motion, detail=detail) for detail in CAPTIONS_EACH
    )
    offset = int(rng.integers(_frames_per_sample()))
    return _EventPlan(scene, motion, captions, round(seconds * FRAMES_PER_SECOND), offset)


def _any_motion(rng: np.random.Generator) -> Motion:
    if rng.random() >= MOVING_SHARE:
        return Motion.STILL
    return list(Motion)[1 + int(rng.integers(len(Motion) - 1))]


def _frames_per_sample() -> int:
    return round(FRAMES_PER_SECOND / SAMPLING.frames_per_second)


def _pictures(
    scene: Scene, motion: Motion, frames: int, offset: int, geometry: ImageGeometry
) -> list[NDArray[np.uint8]]:
    """What is sampled of an event: every fourth frame from `offset` on, fitted to the model."""
    from PIL import Image

    numbers = range(offset, frames, _frames_per_sample())
    if motion is Motion.STILL:
        picture = fit(Image.fromarray(render_scene(scene, PICTURE_PIXELS)), geometry)
        return [picture] * len(numbers)
    return [
        fit(
            Image.fromarray(
                render_scene(scene, PICTURE_PIXELS, motion=motion, phase=number / frames)
            ),
            geometry,
        )
        for number in numbers
    ]


def _embedded(block: _Block, encoder: Encoder) -> Iterator[list[DrawnEvent]]:
    """Embed a block's pictures at once; of a still event one is enough."""
    pictures = [
        drawn[:1] if plan.motion is Motion.STILL else drawn
        for family in block
        for plan, drawn in family
    ]
    with half_precision():
        vectors = encoder.encode_images(np.concatenate(pictures)).astype(np.float16)
    parts = iter(np.split(vectors, np.cumsum([len(part) for part in pictures])[:-1]))
    for family in block:
        members = []
        for plan, drawn in family:
            part = next(parts)
            if plan.motion is Motion.STILL:
                part = np.repeat(part, len(drawn), axis=0)
            members.append(DrawnEvent(plan.scene, plan.motion, plan.captions, part))
        yield members
