"""Moments of the demo world, drawn in bulk without writing video files.

The vector of a frame depends on its own event only. Every event is therefore drawn once, at the
times at which collections sample it, and videos are concatenations of the vectors of events.
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
from retrieval.demo.videos import EVENT_SECONDS, FRAMES_PER_SECOND, MOVING_SHARE
from retrieval.localization.spans import Span
from retrieval.media.images.fitting import fit
from retrieval.progress import Progress, no_progress
from retrieval.protocols import Encoder
from retrieval.search.timed_rows import frame_rows
from retrieval.training.bundled.workers import map_jobs
from retrieval.training.moments.data import AnnotatedMoment, MomentData, find_rivals
from retrieval.types import Frames, ImageGeometry, Sampling, TimedRows

MOMENTS: Final = 4
"""First element of every seed; no other split draws from these streams."""

SAMPLING: Final = Sampling()
FAMILY_SHARES: Final = (0.5, 0.3, 0.2)
"""Single events; one scene with several motions; scenes that differ in one property."""

FAMILY_VIDEOS: Final = 0.4
"""Share of the videos that contain a family of similar events."""

VIDEO_ROWS: Final = (40, 128)
"""Shortest and longest video: 20 to 64 seconds."""

MAX_FAMILY_EVENT_SECONDS: Final = 12.0
"""Longest event of a family, so that a family fits into a minute."""

CAPTION_DETAILS: Final = (1.0, 1.0, 0.6)
"""Share of the facts in each of an event's captions."""

_FAMILIES_PER_JOB: Final = 16


@dataclass(frozen=True, slots=True)
class DrawnEvent:
    """An event: its scene and motion, its captions, and its frame vectors, (n, dim) float16."""

    scene: Scene
    motion: Motion
    captions: tuple[SceneCaption, ...]
    vectors: NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class _EventPlan:
    """An event to draw; `frames` counts video frames, `offset` those before the first sample."""

    scene: Scene
    motion: Motion
    captions: tuple[SceneCaption, ...]
    frames: int
    offset: int


_Job = tuple[int, int, ImageGeometry]
"""Seed, number of the job, and geometry of the pictures."""

_DrawnFamilies = list[list[tuple[_EventPlan, NDArray[np.uint8]]]]
"""Families of events with their pictures."""


def draw_moments(
    events: int,
    videos: int,
    encoder: Encoder,
    *,
    seed: int,
    progress: Progress = no_progress,
) -> MomentData:
    """Draw events, embed their frames, and compose videos.

    Args:
        events: Approximate number of events.
        videos: Number of videos; an event may occur in several.
        encoder: Embeds frames and captions.
        seed: Determines all draws.
        progress: Receives the number of events.
    """
    families = draw_families(events, encoder, seed=seed, progress=progress)
    rng = np.random.default_rng([MOMENTS, seed, 2**31])
    composed = [compose_video(families, rng) for _ in range(videos)]
    queries: list[AnnotatedMoment] = []
    captions: list[SceneCaption] = []
    for number, video in enumerate(composed):
        for caption, windows in _draw_queries(video, rng):
            queries.append(AnnotatedMoment(number, caption.text, windows))
            captions.append(caption)
    with half_precision():
        sentences = encoder.encode_text([query.text for query in queries])

    def answers(query: int, video: int) -> bool:
        caption = captions[query]
        return any(caption.describes(event.scene, event.motion) for event in composed[video])

    rows = [video_rows(video) for video in composed]
    return find_rivals(rows, queries, sentences, answers=answers)


def draw_families(
    events: int, encoder: Encoder, *, seed: int, progress: Progress = no_progress
) -> list[list[DrawnEvent]]:
    """Draw at least `events` events in families, and embed their frames."""
    geometry = encoder.geometry
    assert geometry is not None  # An image encoder has one.
    # A family has 1.6 events on average, so these jobs suffice.
    jobs = [(seed, job, geometry) for job in range(-(-events // _FAMILIES_PER_JOB))]
    families: list[list[DrawnEvent]] = []
    for drawn in map_jobs(_draw_job, jobs):
        families += _embed_families(drawn, encoder)
        count = sum(map(len, families))
        progress("drawing and embedding events", count, events)
        if count >= events:
            break
    return families


def half_precision() -> torch.autocast:
    """Autocast to bfloat16: three times as fast on CPUs with AMX, at a cosine above 0.9999."""
    return torch.autocast("cuda" if torch.cuda.is_available() else "cpu", torch.bfloat16)


def compose_video(families: list[list[DrawnEvent]], rng: np.random.Generator) -> list[DrawnEvent]:
    """Draw the events of a video of `VIDEO_ROWS`; some videos contain a whole family."""
    similar = [family for family in families if len(family) > 1]
    chosen: list[DrawnEvent] = []
    if similar and rng.random() < FAMILY_VIDEOS:
        chosen += similar[int(rng.integers(len(similar)))]
    low, high = VIDEO_ROWS
    target = rng.uniform(low, high)
    rows = sum(len(event.vectors) for event in chosen)
    while rows < target:
        family = families[int(rng.integers(len(families)))]
        event = family[int(rng.integers(len(family)))]
        chosen.append(event)
        rows += len(event.vectors)
    order = [chosen[number] for number in rng.permutation(len(chosen))]
    video: list[DrawnEvent] = []
    for event in order:
        if video and sum(len(e.vectors) for e in video) + len(event.vectors) > high:
            continue
        video.append(event)
    return video


def video_rows(events: list[DrawnEvent]) -> TimedRows:
    """Return the rows of a video of these events, as a collection passes them to a localizer."""
    vectors = np.concatenate([event.vectors for event in events])
    step = 1 / SAMPLING.frames_per_second
    seconds = (np.arange(len(vectors)) * step).astype(np.float32)
    return frame_rows(Frames(seconds, vectors), len(vectors) * step)


def _draw_queries(
    video: list[DrawnEvent], rng: np.random.Generator
) -> Iterator[tuple[SceneCaption, tuple[Span, ...]]]:
    """Yield one caption of every event, with all spans of the video that it describes."""
    rows = video_rows(video)
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


def _draw_job(job: _Job) -> _DrawnFamilies:
    """Plan some families and draw their pictures; runs in a worker process."""
    seed, number, geometry = job
    rng = np.random.default_rng([MOMENTS, seed, number])
    return [
        [
            (
                plan,
                np.stack(
                    _draw_pictures(plan.scene, plan.motion, plan.frames, plan.offset, geometry)
                ),
            )
            for plan in _plan_family(rng)
        ]
        for _ in range(_FAMILIES_PER_JOB)
    ]


def _plan_family(rng: np.random.Generator) -> list[_EventPlan]:
    scene = sample_scene(rng)
    family_type = int(rng.choice(3, p=FAMILY_SHARES))
    if family_type == 0:
        return [_plan_event(scene, _draw_motion(rng), rng)]
    if family_type == 1:
        return [
            _plan_event(scene, motion, rng, max_seconds=MAX_FAMILY_EVENT_SECONDS)
            for motion in sample_motions(rng)
        ]
    motion = _draw_motion(rng)
    return [_plan_event(member, motion, rng) for member in (scene, vary_scene(scene, rng))]


def _plan_event(
    scene: Scene,
    motion: Motion,
    rng: np.random.Generator,
    *,
    max_seconds: float = EVENT_SECONDS[1],
) -> _EventPlan:
    seconds = rng.uniform(EVENT_SECONDS[0], max_seconds)
    captions = tuple(
        caption_scene(scene, rng, motion=motion, detail=detail) for detail in CAPTION_DETAILS
    )
    offset = int(rng.integers(_frames_per_sample()))
    return _EventPlan(scene, motion, captions, round(seconds * FRAMES_PER_SECOND), offset)


def _draw_motion(rng: np.random.Generator) -> Motion:
    if rng.random() >= MOVING_SHARE:
        return Motion.STILL
    return list(Motion)[1 + int(rng.integers(len(Motion) - 1))]


def _frames_per_sample() -> int:
    return round(FRAMES_PER_SECOND / SAMPLING.frames_per_second)


def _draw_pictures(
    scene: Scene, motion: Motion, frames: int, offset: int, geometry: ImageGeometry
) -> list[NDArray[np.uint8]]:
    """Draw the sampled frames of an event, resized for the model; a still event is drawn once."""
    from PIL import Image

    def draw(phase: float) -> NDArray[np.uint8]:
        pixels = render_scene(scene, PICTURE_PIXELS, motion=motion, phase=phase)
        return fit(Image.fromarray(pixels), geometry)

    numbers = range(offset, frames, _frames_per_sample())
    if motion is Motion.STILL:
        return [draw(0.0)] * len(numbers)
    return [draw(number / frames) for number in numbers]


def _embed_families(drawn: _DrawnFamilies, encoder: Encoder) -> Iterator[list[DrawnEvent]]:
    """Embed the pictures of families together; a still event has one picture."""
    distinct = [
        pictures[:1] if plan.motion is Motion.STILL else pictures
        for family in drawn
        for plan, pictures in family
    ]
    with half_precision():
        vectors = encoder.encode_images(np.concatenate(distinct)).astype(np.float16)
    parts = iter(np.split(vectors, np.cumsum([len(part) for part in distinct])[:-1]))
    for family in drawn:
        members = []
        for plan, pictures in family:
            part = next(parts)
            if plan.motion is Motion.STILL:
                part = np.repeat(part, len(pictures), axis=0)
            members.append(DrawnEvent(plan.scene, plan.motion, plan.captions, part))
        yield members
