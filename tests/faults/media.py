"""Mutated media of every format that can be written here, and of real files."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile

import retrieval.media.workers.pool
from faults.cases import Case, Result
from faults.mutations import mutate
from faults.toys import MODELS, is_whole, peak_megabytes, run_command
from retrieval.media.files import EXTENSIONS
from retrieval.media.names import uri_to_path
from retrieval.store.reader import Snapshot
from retrieval.types import Medium
from support.media_files import make_picture, make_tone, picture_bytes, write_tar, write_video

BATCH = 100
"""Mutated files that one run embeds."""

MEGABYTES = 2_000.0
"""Peak memory of a decoding process."""

SILENT_SECONDS = 60.0
"""A decoder silent for longer is taken to hang; five minutes are for real files."""

REAL_BYTES = 1_500_000
"""Real files up to this size are mutated."""

VIDEO_CODECS = ("libx264", "mpeg4", "libvpx", "mpeg2video", "wmv2", "flv", "libtheora", "h263")
SOUND_CODECS = ("aac", "libmp3lame", "libopus", "libvorbis", "mp2", "ac3", "wmav2", "flac")


def write_samples(folder: Path) -> dict[str, Path]:
    """One small file of every extension that this machine can write, by extension."""
    folder.mkdir(parents=True)
    written = {}
    for suffix, modalities in EXTENSIONS.items():
        path = folder / f"sample.{suffix}"
        if Medium.IMAGE in modalities:
            done = _write_picture(path)
        elif Medium.VIDEO in modalities:
            done = any(_write_video(path, codec) for codec in VIDEO_CODECS)
        else:
            done = _write_sound(path)
        if done:
            written[suffix] = path
    members = {f"{number}.{kind.lower()}": picture_bytes(kind) for number, kind in
               enumerate(("PNG", "JPEG", "WEBP"))}  # fmt: skip
    members |= {"0.txt": b"a caption", "1.json": b'{"year": 2001}'}
    written["tar"] = write_tar(folder / "sample.tar", members)
    return written


def _write_picture(path: Path) -> bool:
    try:
        make_picture(seed=5).save(path)
    except (ValueError, KeyError, OSError):
        path.unlink(missing_ok=True)
        return False
    return True


def _write_video(path: Path, codec: str) -> bool:
    for sound in (make_tone(2.0), None):
        try:
            write_video(path, [40, 80, 120, 160] * 5, codec=codec, gop=5, sound=sound)
            return True
        except (av.error.FFmpegError, ValueError, TypeError, AttributeError):
            path.unlink(missing_ok=True)
    return False


def _write_sound(path: Path) -> bool:
    tone = make_tone(2.5, 48_000)
    try:
        soundfile.write(path, tone, 48_000)
        return True
    except (soundfile.SoundFileError, TypeError, ValueError):
        path.unlink(missing_ok=True)
    for codec in SOUND_CODECS:
        try:
            with av.open(path, "w") as container:
                stream = container.add_stream(codec, rate=48_000, layout="mono")
                for start in range(0, len(tone), 960):
                    block = av.AudioFrame.from_ndarray(
                        tone[None, start : start + 960], format="fltp", layout="mono"
                    )
                    block.rate, block.pts = 48_000, start
                    container.mux(stream.encode(block))
                container.mux(stream.encode(None))
            return True
        except (av.error.FFmpegError, ValueError, TypeError):
            path.unlink(missing_ok=True)
    return False


def real_files() -> list[Path]:
    """Small real files of every folder, where RETRIEVAL_REAL_DATA names some."""
    folder = os.environ.get("RETRIEVAL_REAL_DATA")
    if not folder:
        return []
    found = [
        path
        for path in sorted(Path(folder).rglob("*"))
        if path.suffix[1:].lower() in EXTENSIONS and path.stat().st_size <= REAL_BYTES
    ]
    chosen: dict[tuple[str, str], list[Path]] = {}
    for path in found:
        subject = path.relative_to(folder).parts[0]
        chosen.setdefault((subject, path.suffix), []).append(path)
    return [path for group in chosen.values() for path in group[:6]]


@dataclass(frozen=True, slots=True)
class Mutants:
    """Runs the cases in batches: mutated files between two undamaged ones.

    Attributes:
        folder: Where the batches lie.
        samples: The files to mutate, by turns.
    """

    folder: Path
    samples: list[Path]

    def batch(self, cases: list[Case]) -> list[Result]:
        """Embed a batch; runs in a child process."""
        place = self.folder / f"batch-{cases[0].number}"
        shutil.rmtree(place, ignore_errors=True)
        (place / "media").mkdir(parents=True)
        damage = {}
        for case in cases:
            chance = case.chance()
            sample = self.samples[case.number % len(self.samples)]
            content, how = mutate(sample.read_bytes(), chance)
            path = place / "media" / f"m{case.number:05}{sample.suffix}"
            path.write_bytes(content)
            damage[path] = (case, f"{sample.name}: {how}")
        controls = [place / "media" / name for name in ("a-control.png", "z-control.png")]
        for seed, path in enumerate(controls):
            path.write_bytes(picture_bytes("PNG", seed=seed))
        retrieval.media.workers.pool.decode_all.__kwdefaults__["timeout_seconds"] = SILENT_SECONDS
        words = ["embed", place / "media", "-c", place / "c", *MODELS, "--workers", 1]
        outcome = run_command(*words).check()
        assert outcome.code == 0, outcome
        is_whole(place / "c")
        run_command("embed", *controls, "-c", place / "alone", *MODELS, "--workers", 0).check()
        for path in controls:
            mixed, alone = (_picture_vector(place / root, path) for root in ("c", "alone"))
            np.testing.assert_array_equal(mixed, alone)
        results = list(self._results(place / "c", damage))
        peak = peak_megabytes(resource.RUSAGE_CHILDREN)
        assert peak < MEGABYTES, f"{peak:.0f} MB of memory in a decoding process"
        if not any(result.problem for result in results):
            shutil.rmtree(place)
        return results

    def _results(self, root: Path, damage: dict[Path, tuple[Case, str]]) -> Iterator[Result]:
        snapshot = Snapshot.open(root)
        known = {Path(uri_to_path(uri)): file for uri, file in snapshot.known_files().items()}
        failed = snapshot.failures()
        for path, (case, how) in damage.items():
            family = path.suffix[1:]
            reasons = [why for uri, why in failed.items() if uri.partition("!")[0] == str(path)]
            if path in known:
                problem = _bad_rows(snapshot, known[path].item_id)
                yield Result(case, f"{family}: embedded", problem and f"{how}: {problem}")
            elif any(reason.stage == "worker" for reason in reasons):
                yield Result(case, f"{family}: its decoder crashed or hung, recorded")
            elif reasons or any(str(one).startswith(f"{path}!") for one in known):
                long = [one.reason for one in reasons if len(one.reason) > 500]
                yield Result(
                    case, f"{family}: recorded as a failure", f"{how}: {long}" if long else ""
                )
            else:
                yield Result(case, "lost", f"{how}: neither an item nor a failure")


def _picture_vector(root: Path, path: Path) -> np.ndarray:
    """The vector of a picture in the first space; an error where it is lost."""
    snapshot = Snapshot.open(root)
    item_id = snapshot.known_files()[str(path)].item_id
    return snapshot.item_segments(snapshot.spaces[0].name, item_id).vectors


def _bad_rows(snapshot: Snapshot, item_id: int) -> str:
    """What is wrong with an item's rows, if anything is."""
    for space in snapshot.spaces:
        rows = snapshot.item_segments(space.name, item_id)
        lengths = np.linalg.norm(rows.vectors, axis=1)
        if not np.allclose(lengths, 1, atol=1e-2):
            return f"vectors of lengths {lengths}"
        starts, ends = rows.start_seconds, rows.end_seconds
        timed = ~np.isnan(starts)
        if not (ends[timed] > starts[timed]).all() or (starts[timed] < 0).any():
            return f"spans from {starts} to {ends}"
        for medium in (Medium.AUDIO, Medium.VIDEO):
            own = starts[np.array([one is medium for one in rows.media], bool)]
            if (np.diff(own) <= 0).any():
                return f"times that go back: {own}"
    return ""
