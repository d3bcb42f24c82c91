"""One source in, decode events out: pictures, frames and windows, ready for the encoders.

What a file is goes by its content. Whatever is wrong with it becomes a `Failure` with a reason,
never an exception, so that one bad file cannot end a run.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retrieval.errors import UnsupportedMediaError
from retrieval.media.archives.members import open_members
from retrieval.media.audio.reader import SoundReader, open_sound
from retrieval.media.audio.windows import Window, cut_windows
from retrieval.media.damage import Damage
from retrieval.media.files import OpenFile
from retrieval.media.images.fitting import fit
from retrieval.media.images.reading import read_image_and_size
from retrieval.media.modality import find_modality
from retrieval.media.video.reader import VideoReader, open_video
from retrieval.types import (
    DecodedChunk,
    DecodeEvent,
    DecodePlan,
    Failure,
    ItemDecoded,
    ItemUnchanged,
    KnownFile,
    MediaInfo,
    Medium,
    Source,
)

NO_ENCODER = "no encoder"
"""Stage of a failure that is no fault of the file: no space of the plan takes its modality."""

FRAMES_PER_CHUNK = 32
WINDOWS_PER_CHUNK = 8


def decode(
    source: Source,
    plan: DecodePlan,
    known: Mapping[str, KnownFile],
    *,
    skip: Collection[str] = (),
    on_item: Callable[[str], None] | None = None,
) -> Iterator[DecodeEvent]:
    """Decode a media file, or every member of a tar, for all spaces of a plan.

    An item's chunks come first, in order of time per space, then its `ItemDecoded`. A file whose
    bytes are known gives `ItemUnchanged` alone. A video gives frames for every space of
    `plan.frames` and, where it has sound, windows for every space of `plan.audio`; sound that
    cannot be read is left out and counted as damage.

    Args:
        source: What to decode.
        plan: What the encoders want.
        known: Files that the collection holds, by uri.
        skip: Uris to pass over without an event.
        on_item: Called with the uri of the source, then of every item, before it is touched.
    """
    if source.uri in skip:
        return
    if on_item is not None:
        on_item(source.uri)
    for found in _open(source):
        if found.uri in skip:
            continue
        if isinstance(found, Failure):
            yield found
            continue
        if on_item is not None:
            on_item(found.uri)
        yield from _decode_file(found, plan, known.get(found.uri))


def _open(source: Source) -> Iterator[OpenFile | Failure]:
    try:
        if source.is_tar:
            yield from open_members(source)
            return
        # Not blocking: opening a pipe would wait for its writer for ever.
        handle = os.open(source.path, os.O_RDONLY | os.O_NONBLOCK)
        with open(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise UnsupportedMediaError("not a regular file; name a media file")
            yield OpenFile(
                source.uri,
                source.path,
                file,
                status.st_size,
                status.st_mtime,
                source.caption,
                source.columns,
            )
    except (OSError, UnsupportedMediaError) as error:
        yield Failure(source.uri, "open", _reason(error))


def _decode_file(
    media: OpenFile, plan: DecodePlan, known: KnownFile | None
) -> Iterator[DecodeEvent]:
    failure = Failure(media.uri, "open", "", media.bytes, media.mtime)
    try:
        modality = find_modality(media.file, media.name)
        if not _has_encoder(plan, modality):
            yield replace(failure, stage=NO_ENCODER, reason=_ADD_ENCODER[modality])
            return
        media.file.seek(0)
        digest = hashlib.file_digest(media.file, "sha256").hexdigest()  # type: ignore[arg-type]
        media.file.seek(0)
        failure = replace(failure, stage="decode")
        info = MediaInfo(
            uri=media.uri,
            modality=modality,
            bytes=media.bytes,
            mtime=media.mtime,
            sha256=digest,
            caption=media.caption,
            columns=media.columns,
        )
        if known is not None and known.sha256 == digest:
            yield ItemUnchanged(media.uri, info)
            return
        yield from _DECODERS[modality](media.file, plan, info)
    except Exception as error:
        # Decoders raise whatever they like on bad data: it is this file's failure, never the run's.
        stage = "open" if isinstance(error, UnsupportedMediaError) else failure.stage
        yield replace(failure, stage=stage, reason=_reason(error))


def _reason(error: BaseException) -> str:
    """Put an error into one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


def _has_encoder(plan: DecodePlan, modality: Medium) -> bool:
    if modality is Medium.IMAGE:
        return bool(plan.images)
    if modality is Medium.AUDIO:
        return bool(plan.audio)
    return bool(plan.frames) or (plan.sound_of_videos and bool(plan.audio))


_ADD_ENCODER = {
    Medium.IMAGE: "no encoder for images; add one, as --model small",
    Medium.AUDIO: "no encoder for audio; add one, as --model music",
    Medium.VIDEO: "no encoder for video; add one, as --model small",
}


# ---------------------------------------------------------------- pictures, recordings, videos


def _decode_image(file: BinaryIO, plan: DecodePlan, info: MediaInfo) -> Iterator[DecodeEvent]:
    sides = (max(geometry.height, geometry.width) for geometry in plan.images.values())
    damage = Damage()
    # Twice the model's size: the pixels then differ by less than half a grey level.
    picture, (width, height) = read_image_and_size(file, draft_side=2 * max(sides), damage=damage)
    for space, geometry in plan.images.items():
        yield DecodedChunk(space, Medium.IMAGE, fit(picture, geometry)[np.newaxis])
    yield _decoded(replace(info, width=width, height=height), damage)


def _decoded(info: MediaInfo, *damages: Damage) -> ItemDecoded:
    """End an item; what several passes over a file noted is said once."""
    notes = dict.fromkeys(note for damage in damages for note in damage.notes)
    return ItemDecoded(info, sum(damage.packets for damage in damages), tuple(notes))


def _decode_audio(file: BinaryIO, plan: DecodePlan, info: MediaInfo) -> Iterator[DecodeEvent]:
    damage = Damage()
    seconds = 0.0
    for space in plan.audio:
        with open_sound(file) as sound:
            yield from _window_chunks(sound, plan, space)
            damage, seconds = sound.damage, sound.seconds_read
    yield _decoded(replace(info, duration_seconds=seconds), damage)


def _decode_video(file: BinaryIO, plan: DecodePlan, info: MediaInfo) -> Iterator[DecodeEvent]:
    with open_video(file) as video:
        if plan.frames:
            yield from _frame_chunks(video, plan)
        info = replace(
            info, width=video.width, height=video.height, duration_seconds=video.duration_seconds
        )
        damages, has_sound = [video.damage], video.has_sound
    if has_sound and plan.sound_of_videos:
        for space in plan.audio:
            try:
                with open_sound(file) as sound:
                    yield from _window_chunks(sound, plan, space)
                    damages.append(sound.damage)
                    if not plan.frames:
                        info = replace(info, duration_seconds=sound.seconds_read)
            except Exception as error:
                if not plan.frames:
                    raise
                # The pictures are good: they are not given up for the sound.
                damages.append(Damage(packets=1, notes=[f"sound left out: {_reason(error)}"]))
    yield _decoded(info, *damages)


def _frame_chunks(video: VideoReader, plan: DecodePlan) -> Iterator[DecodedChunk]:
    seconds: list[float] = []
    fitted: dict[str, list[NDArray[np.uint8]]] = {space: [] for space in plan.frames}
    shown: Image.Image | None = None
    latest: dict[str, NDArray[np.uint8]] = {}
    for moment, picture in video.sample(plan.sampling.frames_per_second):
        seconds.append(moment)
        if picture is not shown:  # a picture that stays on screen is fitted once
            shown = picture
            # Fitted at once: full frames of a group would take hundreds of megabytes.
            latest = {space: fit(picture, geometry) for space, geometry in plan.frames.items()}
        for space, pixels in latest.items():
            fitted[space].append(pixels)
        if len(seconds) == FRAMES_PER_CHUNK:
            yield from _take_frames(seconds, fitted)
    if seconds:
        yield from _take_frames(seconds, fitted)


def _take_frames(
    seconds: list[float], fitted: dict[str, list[NDArray[np.uint8]]]
) -> Iterator[DecodedChunk]:
    times = np.array(seconds, np.float64)
    for space, frames in fitted.items():
        yield DecodedChunk(space, Medium.VIDEO, np.stack(frames), start_seconds=times)
        frames.clear()
    seconds.clear()


def _window_chunks(sound: SoundReader, plan: DecodePlan, space: str) -> Iterator[DecodedChunk]:
    windows = plan.audio[space]
    group: list[Window] = []
    for window in cut_windows(sound.pieces(windows.sample_rate_hz), windows):
        group.append(window)
        if len(group) == WINDOWS_PER_CHUNK:
            yield _window_chunk(space, group)
            group = []
    if group:
        yield _window_chunk(space, group)


def _window_chunk(space: str, group: Iterable[Window]) -> DecodedChunk:
    windows = list(group)
    return DecodedChunk(
        space,
        Medium.AUDIO,
        np.stack([window.samples for window in windows]),
        start_seconds=np.array([window.start_seconds for window in windows], np.float64),
        end_seconds=np.array([window.end_seconds for window in windows], np.float64),
    )


_DECODERS: dict[Medium, Callable[[BinaryIO, DecodePlan, MediaInfo], Iterator[DecodeEvent]]] = {
    Medium.IMAGE: _decode_image,
    Medium.AUDIO: _decode_audio,
    Medium.VIDEO: _decode_video,
}
