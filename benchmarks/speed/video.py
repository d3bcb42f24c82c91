"""Times sampling one frame per second, compared with decoding all frames and seeking each frame.

All three decode on one thread, as the workers of `embed` do, and return the same pictures.
"""

from __future__ import annotations

import logging
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
from PIL import Image

from benchmarks.results.outcome import Result
from benchmarks.speed.harness import in_turns, row, timed
from retrieval.media.video.reader import sample_frames

logger = logging.getLogger(__name__)

SECONDS = 60
FRAMES_PER_SECOND = 24
SIZE = (640, 360)
GROUPS = (12, 48, 250)
"""Frames between keyframes; 250 is the default of x264."""

TURNS = 5


def run(*, folder: Path, scale: float = 1.0) -> list[Result]:
    """Measure three keyframe intervals."""
    seconds = max(4, round(SECONDS * scale))
    results = []
    for group in GROUPS:
        path = folder / f"group-{group}.mp4"
        logger.info("video of %d s, a keyframe every %d frames", seconds, group)
        write_video(path, seconds, group)
        ways = {"ours": _sample, "all": _decode_all, "seek": _seek_each}
        times = in_turns(
            {name: timed(partial(way, path, seconds)) for name, way in ways.items()}, TURNS
        )
        task = f"{seconds} frames of {seconds} s of video, keyframe every {group} frames"
        faster = min(times["all"], times["seek"], key=lambda sample: sample.median)
        results += [
            row(task, "time ÷ faster of the other two", times["ours"] / faster, 1.0),
            row(task, "milliseconds, sampler", times["ours"].times(1e3)),
            row(task, "milliseconds, decoding all", times["all"].times(1e3)),
            row(task, "milliseconds, seeking each", times["seek"].times(1e3)),
        ]
    return results


def _sample(path: Path, seconds: int) -> None:
    for _ in sample_frames(str(path), 1.0):
        pass


def _decode_all(path: Path, seconds: int) -> None:
    """Decode every frame and keep one per second."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        due = 0.0
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time >= due:
                Image.fromarray(frame.to_ndarray(format="rgb24"))
                due += 1.0


def _seek_each(path: Path, seconds: int) -> None:
    """Seek to the keyframe before each second and decode up to the second."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for second in range(seconds):
            container.seek(round(second / (stream.time_base or Fraction(1))), stream=stream)
            for frame in container.decode(stream):
                if frame.time is not None and frame.time >= second:
                    Image.fromarray(frame.to_ndarray(format="rgb24"))
                    break


def write_video(path: Path, seconds: int, group: int) -> None:
    """Write H.264 video of a moving texture, so that consecutive frames differ."""
    width, height = SIZE
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (height // 8, width // 8, 3), np.uint8)
    picture = np.kron(coarse, np.ones((8, 8, 1), np.uint8))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"g": str(group), "keyint_min": str(group), "sc_threshold": "0"}
        for number in range(seconds * FRAMES_PER_SECOND):
            shifted = np.roll(picture, (number // 2, number), axis=(0, 1))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(shifted), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
