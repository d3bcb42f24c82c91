"""Times decoding for a model, compared with plain Pillow, soundfile and PyAV.

The engine does everything that a worker of `embed` does with a file: it detects the type, computes
the digest, checks and decodes the file, and returns the model's input. The baseline is plain code
with the libraries. Both use one thread.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from PIL import Image

from benchmarks.results.outcome import Result
from benchmarks.speed.harness import Sample, in_turns, row, timed
from benchmarks.speed.photographs import write_photographs
from benchmarks.speed.video import write_video
from retrieval.media.decode import decode
from retrieval.media.sources.find import find_sources
from retrieval.types import AudioWindows, DecodedChunk, DecodePlan, Failure, ImageGeometry

logger = logging.getLogger(__name__)

PHOTOGRAPHS = 40
MEGAPIXELS = (1.0, 12.0)
SECONDS = 60
GROUP = 250
"""Frames between keyframes, the default of x264."""

FILE_RATE_HZ, MODEL_RATE_HZ = 44_100, 48_000
SIDE = 224
TURNS = 7

SOUNDFILE: Final = "soundfile"
RECORDINGS: Final = {"wav": SOUNDFILE, "flac": SOUNDFILE, "mp3": SOUNDFILE, "m4a": "PyAV"}
"""Formats and the libraries that read them."""

PLAN: Final = DecodePlan(
    images={"image": ImageGeometry(SIDE, SIDE)},
    frames={"frames": ImageGeometry(SIDE, SIDE)},
    audio={"sound": AudioWindows(MODEL_RATE_HZ)},
)


def run(*, folder: Path, scale: float = 1.0) -> list[Result]:
    """Measure photographs, recordings of several formats, and a video."""
    seconds = max(4, round(SECONDS * scale))
    return [
        *_photographs(folder / "photographs", max(2, round(PHOTOGRAPHS * scale))),
        *_recordings(folder, seconds),
        *_video(folder / "video.mp4", seconds),
    ]


def decoded(paths: Sequence[Path]) -> list[DecodedChunk]:
    """Decode files as the engine does for the encoders."""
    events = [
        event
        for source in find_sources([str(path) for path in paths])
        for event in decode(source, PLAN, {})
    ]
    for event in events:
        if isinstance(event, Failure):
            raise RuntimeError(f"{event.uri}: {event.reason}")
    return [event for event in events if isinstance(event, DecodedChunk)]


def _photographs(folder: Path, count: int) -> list[Result]:
    logger.info("writing %d photographs", count)
    paths = write_photographs(folder, count, megapixels=MEGAPIXELS)
    logger.info("decoding them")
    times = in_turns(
        {
            "engine": timed(lambda: decoded(paths)),
            "all": timed(lambda: [picture(path) for path in paths]),
            "draft": timed(lambda: [picture(path, draft=True) for path in paths]),
        },
        TURNS,
        warm_ups=1,
    )
    task = f"decode {count} photographs of 1–12 megapixels to {SIDE} × {SIDE}, one thread"
    engine = times["engine"]
    return [
        row(task, "time ÷ Pillow's, every pixel decoded", engine / times["all"]),
        row(task, "time ÷ Pillow's, as few pixels decoded", engine / times["draft"]),
        _rate(task, "photographs", engine, times["all"], count),
    ]


def picture(path: Path, *, draft: bool = False) -> NDArray[np.uint8]:
    """Decode a photograph with Pillow to (SIDE, SIDE, 3): scale the short side, crop the centre."""
    with Image.open(path) as image:
        if draft:
            image.draft("RGB", (2 * SIDE, 2 * SIDE))
        return fitted(image.convert("RGB"))


def fitted(image: Image.Image) -> NDArray[np.uint8]:
    """Scale the short side and crop the centre."""
    scale = SIDE / min(image.size)
    small = image.resize(
        (round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC
    )
    left, top = (small.width - SIDE) // 2, (small.height - SIDE) // 2
    return np.asarray(small.crop((left, top, left + SIDE, top + SIDE)))


def _recordings(folder: Path, seconds: int) -> list[Result]:
    results = []
    for extension, library in RECORDINGS.items():
        path = folder / f"recording.{extension}"
        logger.info("decoding %s of %d s", extension, seconds)
        write_recording(path, seconds)
        raw = sound_by_soundfile if library == SOUNDFILE else sound_by_pyav
        times = in_turns(
            {
                "engine": timed(partial(decoded, [path])),
                "raw": timed(partial(raw, path)),
            },
            TURNS,
            warm_ups=1,
        )
        task = f"decode {seconds} s of {extension}, stereo, to {MODEL_RATE_HZ // 1000} kHz mono"
        results += [
            row(task, f"time ÷ {library}'s and soxr's", times["engine"] / times["raw"]),
            _rate(task, "seconds of sound", times["engine"], times["raw"], seconds),
        ]
    return results


def sound_by_soundfile(path: Path) -> NDArray[np.float32]:
    """Decode a recording with soundfile, mix it down and resample it."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return _resampled(samples.mean(axis=1), rate)


def sound_by_pyav(path: Path) -> NDArray[np.float32]:
    """Decode a recording with PyAV; AAC decodes to one row of floats per channel."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        blocks = [frame.to_ndarray() for frame in container.decode(stream)]
        rate = stream.rate
    return _resampled(np.concatenate(blocks, axis=1).mean(axis=0), rate)


def _resampled(mono: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    sound: NDArray[np.float32] = soxr.resample(mono, rate, MODEL_RATE_HZ)
    return sound


def write_recording(path: Path, seconds: int) -> None:
    """Write a stereo recording of two tones with some noise."""
    rng = np.random.default_rng(0)
    times = np.arange(seconds * FILE_RATE_HZ, dtype=np.float32) / FILE_RATE_HZ
    voices = [np.sin(2 * np.pi * hertz * times) for hertz in (220.0, 331.0)]
    sound = 0.3 * np.stack(voices, axis=1) + 0.02 * rng.standard_normal((len(times), 2), np.float32)
    if path.suffix != ".m4a":
        soundfile.write(path, sound, FILE_RATE_HZ)
        return
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=FILE_RATE_HZ, layout="stereo")
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(sound.T, np.float32), format="fltp", layout="stereo"
        )
        frame.sample_rate = FILE_RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _video(path: Path, seconds: int) -> list[Result]:
    logger.info("decoding %d s of video", seconds)
    write_video(path, seconds, GROUP)
    fps = PLAN.sampling.frames_per_second
    times = in_turns(
        {
            "engine": timed(lambda: decoded([path])),
            "all": timed(lambda: frames(path, fps)),
        },
        TURNS,
        warm_ups=1,
    )
    task = f"decode {seconds} s of H.264 to {fps:g} frames a second of {SIDE} × {SIDE}, one thread"
    return [
        row(task, "time ÷ PyAV's, every frame decoded", times["engine"] / times["all"]),
        _rate(task, "seconds of video", times["engine"], times["all"], seconds),
    ]


def frames(path: Path, frames_per_second: float) -> NDArray[np.uint8]:
    """Decode all frames with PyAV and keep some per second, (frames, SIDE, SIDE, 3)."""
    sampled: list[NDArray[np.uint8]] = []
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time >= len(sampled) / frames_per_second:
                sampled.append(fitted(Image.fromarray(frame.to_ndarray(format="rgb24"))))
    return np.stack(sampled)


def _rate(task: str, unit: str, engine: Sample, raw: Sample, count: float) -> Result:
    """Compute units per second, with the rate of the library as baseline."""
    return row(task, f"{unit} per second", engine.per(count), baseline=raw.per(count).median)
