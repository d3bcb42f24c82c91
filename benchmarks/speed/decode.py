"""`bench speed decode`: decoding for a model, beside Pillow, soundfile and PyAV by themselves.

The engine's side is all that a worker of `embed` does with a file: it tells by the content what
the file is, digests and checks it, decodes it, and hands over what the model reads. The libraries'
side is what one writes without an engine. Both run on one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from PIL import Image

from benchmarks.results.tables import Result
from benchmarks.speed.harness import Sample, in_turns, row, timed
from benchmarks.speed.photographs import write_photographs
from benchmarks.speed.video import write_video
from retrieval.media.decode import decode
from retrieval.media.sources.find import find_sources
from retrieval.types import AudioWindows, DecodedChunk, DecodePlan, Failure, ImageGeometry

PHOTOGRAPHS = 40
MEGAPIXELS = (1.0, 12.0)
SECONDS = 60
GROUP = 250
"""Frames from one keyframe to the next, as x264 does by default."""

FILE_RATE_HZ, MODEL_RATE_HZ = 44_100, 48_000
SIDE = 224
TURNS = 7

SOUNDFILE: Final = "soundfile"
RECORDINGS: Final = {"wav": SOUNDFILE, "flac": SOUNDFILE, "mp3": SOUNDFILE, "m4a": "PyAV"}
"""Formats, and the library that reads each."""

PLAN: Final = DecodePlan(
    images={"image": ImageGeometry(SIDE, SIDE)},
    frames={"frames": ImageGeometry(SIDE, SIDE)},
    audio={"sound": AudioWindows(MODEL_RATE_HZ)},
)


def run(*, say: Callable[[str], None], folder: Path, scale: float = 1.0) -> list[Result]:
    """Measure photographs, recordings of several formats, and a video."""
    seconds = max(4, round(SECONDS * scale))
    return [
        *_photographs(say, folder / "photographs", max(2, round(PHOTOGRAPHS * scale))),
        *_recordings(say, folder, seconds),
        *_video(say, folder / "video.mp4", seconds),
    ]


def decoded(paths: Sequence[Path]) -> list[DecodedChunk]:
    """Everything that the engine hands to the encoders."""
    events = [
        event
        for source in find_sources([str(path) for path in paths])
        for event in decode(source, PLAN, {})
    ]
    for event in events:
        if isinstance(event, Failure):
            raise RuntimeError(f"{event.uri}: {event.reason}")
    return [event for event in events if isinstance(event, DecodedChunk)]


# ---------------------------------------------------------------- photographs


def _photographs(say: Callable[[str], None], folder: Path, count: int) -> list[Result]:
    say(f"writing {count} photographs")
    paths = write_photographs(folder, count, megapixels=MEGAPIXELS)
    say("decoding them")
    taken = in_turns(
        {
            "engine": timed(lambda: decoded(paths)),
            "all": timed(lambda: [picture(path) for path in paths]),
            "draft": timed(lambda: [picture(path, draft=True) for path in paths]),
        },
        TURNS,
        warm_ups=1,
    )
    task = f"decode {count} photographs of 1–12 megapixels to {SIDE} × {SIDE}, one thread"
    engine = taken["engine"]
    return [
        row(task, "time ÷ Pillow's, every pixel decoded", engine / taken["all"]),
        row(task, "time ÷ Pillow's, as few pixels decoded", engine / taken["draft"]),
        _rate(task, "photographs", engine, taken["all"], count),
    ]


def picture(path: Path, *, draft: bool = False) -> NDArray[np.uint8]:
    """(SIDE, SIDE, 3) of a photograph by Pillow: the short side scaled, the middle cut out."""
    with Image.open(path) as image:
        if draft:
            image.draft("RGB", (2 * SIDE, 2 * SIDE))
        return fitted(image.convert("RGB"))


def fitted(image: Image.Image) -> NDArray[np.uint8]:
    """Scale the short side and cut the middle out."""
    scale = SIDE / min(image.size)
    small = image.resize(
        (round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC
    )
    left, top = (small.width - SIDE) // 2, (small.height - SIDE) // 2
    return np.asarray(small.crop((left, top, left + SIDE, top + SIDE)))


# ---------------------------------------------------------------- recordings


def _recordings(say: Callable[[str], None], folder: Path, seconds: int) -> list[Result]:
    results = []
    for kind, library in RECORDINGS.items():
        path = folder / f"recording.{kind}"
        say(f"decoding {kind} of {seconds} s")
        write_recording(path, seconds)
        raw = sound_by_soundfile if library == SOUNDFILE else sound_by_pyav
        taken = in_turns(
            {
                "engine": timed(partial(decoded, [path])),
                "raw": timed(partial(raw, path)),
            },
            TURNS,
            warm_ups=1,
        )
        task = f"decode {seconds} s of {kind}, stereo, to {MODEL_RATE_HZ // 1000} kHz mono"
        results += [
            row(task, f"time ÷ {library}'s and soxr's", taken["engine"] / taken["raw"]),
            _rate(task, "seconds of sound", taken["engine"], taken["raw"], seconds),
        ]
    return results


def sound_by_soundfile(path: Path) -> NDArray[np.float32]:
    """The whole recording, mixed down and resampled at once."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return _resampled(samples.mean(axis=1), rate)


def sound_by_pyav(path: Path) -> NDArray[np.float32]:
    """The same by FFmpeg; AAC decodes to one row of floats for each channel."""
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
    """Two voices in stereo, over a little noise."""
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


# ---------------------------------------------------------------- video


def _video(say: Callable[[str], None], path: Path, seconds: int) -> list[Result]:
    say(f"decoding {seconds} s of video")
    write_video(path, seconds, GROUP)
    fps = PLAN.sampling.frames_per_second
    taken = in_turns(
        {
            "engine": timed(lambda: decoded([path])),
            "all": timed(lambda: frames(path, fps)),
        },
        TURNS,
        warm_ups=1,
    )
    task = f"decode {seconds} s of H.264 to {fps:g} frames a second of {SIDE} × {SIDE}, one thread"
    return [
        row(task, "time ÷ PyAV's, every frame decoded", taken["engine"] / taken["all"]),
        _rate(task, "seconds of video", taken["engine"], taken["all"], seconds),
    ]


def frames(path: Path, frames_per_second: float) -> NDArray[np.uint8]:
    """(frames, SIDE, SIDE, 3) by PyAV: decode everything, keep so many a second."""
    kept: list[NDArray[np.uint8]] = []
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time >= len(kept) / frames_per_second:
                kept.append(fitted(Image.fromarray(frame.to_ndarray(format="rgb24"))))
    return np.stack(kept)


def _rate(task: str, what: str, engine: Sample, raw: Sample, count: float) -> Result:
    """How many a second, with the library's own rate as the baseline."""
    return row(task, f"{what} per second", engine.per(count), baseline=raw.per(count).median)
