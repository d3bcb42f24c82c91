"""Decode one source into images, frames and audio windows for the encoders.

Any error of a file becomes a `Failure` with a reason, so that one bad file cannot end a run.
"""

from __future__ import annotations

import hashlib
import heapq
import io
import os
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from itertools import islice, tee
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retrieval.errors import UnsupportedMediaError
from retrieval.files.objects import is_object, open_object
from retrieval.media.archives.members import open_members
from retrieval.media.audio.reader import SoundReader, open_sound
from retrieval.media.audio.windows import AudioWindow, cut_windows
from retrieval.media.damage import Damage
from retrieval.media.files import OpenFile, TranscriptFile
from retrieval.media.images.fitting import fit
from retrieval.media.images.reading import read_image_and_size
from retrieval.media.item_texts import ItemTexts, read_item_texts
from retrieval.media.modality import find_modality
from retrieval.media.names import container_of, uri_to_path
from retrieval.media.transcripts.sidecars import sidecar_uris
from retrieval.media.video.reader import VideoReader, open_video
from retrieval.media.words import read_item
from retrieval.types import (
    AudioWindows,
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
    TextSource,
)

NO_ENCODER = "no encoder"
"""Stage of the failure of a good file whose modality no encoder of the plan reads."""

_TRANSCRIPTS = frozenset((TextSource.TRANSCRIPT,))

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
    """Decode a media file, or every member of an archive, for all spaces of a plan.

    An item's chunks come first, in order of time per space, then its `ItemDecoded`. A file with
    known content yields only `ItemUnchanged`. With `plan.words`, `DecodedTexts` and `DecodedSpeech`
    take the place of chunks. A video yields frames for every space of
    `plan.frames` and, if it has sound, windows for every space of `plan.audio`. Sound that cannot
    be read is left out and counted as damage.

    Args:
        source: The file or archive.
        plan: The inputs that the encoders need.
        known: Files of the collection, by URI.
        skip: URIs to skip without an event.
        on_item: Called with the URI of the source, then of every item, before it is opened.
    """
    if source.uri in skip:
        return
    if on_item is not None:
        on_item(source.uri)
    for media in _open(source):
        if media.uri in skip:
            continue
        if isinstance(media, Failure):
            yield media
            continue
        if on_item is not None:
            on_item(media.uri)
        yield from decode_file(media, plan, known.get(media.uri))


def _open(source: Source) -> Iterator[OpenFile | Failure]:
    try:
        if source.is_tar:
            yield from open_members(source)
            return
        with _open_file(source.path) as file:
            status = os.fstat(file.fileno())
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
                _transcripts(source),
                source.rereads,
            )
    except (OSError, UnsupportedMediaError) as error:
        yield Failure(source.uri, "open", format_error(error))


def _open_file(path: str) -> io.BufferedReader:
    if is_object(path):
        return open_object(path)
    # Opening a FIFO in blocking mode would wait for its writer.
    return open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")


def _transcripts(source: Source) -> tuple[TranscriptFile, ...]:
    """Return the transcript files beside a source."""
    return tuple(
        TranscriptFile(uri, sidecar, uri_to_path(uri))
        for uri, sidecar in zip(sidecar_uris(source), source.sidecars, strict=True)
    )


def decode_file(
    media: OpenFile, plan: DecodePlan, known: KnownFile | None = None
) -> Iterator[DecodeEvent]:
    """Decode one open file; see `decode`."""
    failure = Failure(media.uri, "open", "", media.bytes, media.mtime)
    try:
        modality = find_modality(media.file, media.name)
        if not plan.words and not _has_encoder(plan, modality):
            reason = f"no encoder for {_PLURALS[modality]}; add one to the collection"
            yield replace(failure, stage=NO_ENCODER, reason=reason)
            return
        digest = _digest(media, known)
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
            # Transcripts in an archive have no state of their own that would show a change.
            in_archive = any(file.path is None for file in media.transcripts)
            sources = media.rereads or (_TRANSCRIPTS if in_archive else frozenset())
            yield from _unchanged(media, info, sources & plan.file_texts)
            return
        decoder = read_item if plan.words else _DECODERS[modality]
        for event in decoder(media.file, plan, info):
            if isinstance(event, ItemDecoded):
                yield from _with_texts(media, event, plan.file_texts)
            else:
                yield event
    except Exception as error:
        # Decoders raise arbitrary exceptions on bad data.
        stage = "open" if isinstance(error, UnsupportedMediaError) else failure.stage
        yield replace(failure, stage=stage, reason=format_error(error))


def _digest(media: OpenFile, known: KnownFile | None) -> str:
    """Return the sha256 of a file; the stored one where only the texts of a file are read again."""
    is_known = known is not None and (known.bytes, known.mtime) == (media.bytes, media.mtime)
    if media.rereads and is_known and known is not None and container_of(media.uri)[1] is None:
        return known.sha256
    media.file.seek(0)
    return hashlib.file_digest(media.file, "sha256").hexdigest()  # type: ignore[arg-type]


def _unchanged(
    media: OpenFile, info: MediaInfo, sources: frozenset[TextSource]
) -> Iterator[DecodeEvent]:
    """Yield the end of an item whose content is known, with the texts of some sources."""
    if not sources:
        yield ItemUnchanged(media.uri, info)
        return
    read = read_item_texts(media, info.modality, sources)
    yield ItemUnchanged(media.uri, _with(info, media, read), sources)
    yield from read.failures


def _with_texts(
    media: OpenFile, event: ItemDecoded, sources: frozenset[TextSource]
) -> Iterator[DecodeEvent]:
    """Yield the end of a decoded item with its texts, then the failures of its transcripts."""
    if not sources:
        yield event
        return
    read = read_item_texts(media, event.info.modality, sources)
    yield replace(event, info=_with(event.info, media, read), notes=(*event.notes, *read.notes))
    yield from read.failures


def _with(info: MediaInfo, media: OpenFile, read: ItemTexts) -> MediaInfo:
    sidecars = tuple(file.sidecar for file in media.transcripts)
    return replace(info, texts=tuple(read.texts), facts=read.facts, sidecars=sidecars)


def format_error(error: BaseException) -> str:
    """Return the message of an error as one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


def _has_encoder(plan: DecodePlan, modality: Medium) -> bool:
    if modality is Medium.IMAGE:
        return bool(plan.images)
    if modality is Medium.AUDIO:
        return bool(plan.audio)
    return bool(plan.frames) or (plan.sound_of_videos and bool(plan.audio))


_PLURALS = {Medium.IMAGE: "images", Medium.AUDIO: "audio", Medium.VIDEO: "video"}


# ---------------------------------------------------------------- images, recordings, videos


def _decode_image(file: BinaryIO, plan: DecodePlan, info: MediaInfo) -> Iterator[DecodeEvent]:
    sides = (max(geometry.height, geometry.width) for geometry in plan.images.values())
    damage = Damage()
    # At twice the model's size, the pixels differ by less than half a grey level.
    image, (width, height) = read_image_and_size(file, draft_side=2 * max(sides), damage=damage)
    for space, geometry in plan.images.items():
        yield DecodedChunk(space, Medium.IMAGE, fit(image, geometry)[np.newaxis])
    yield _item_decoded(replace(info, width=width, height=height), damage)


def _item_decoded(info: MediaInfo, *damages: Damage) -> ItemDecoded:
    """Return the item's last event, with the distinct notes of all passes over its file."""
    notes = dict.fromkeys(note for damage in damages for note in damage.notes)
    return ItemDecoded(info, sum(damage.packets for damage in damages), tuple(notes))


def _decode_audio(file: BinaryIO, plan: DecodePlan, info: MediaInfo) -> Iterator[DecodeEvent]:
    damage = Damage()
    seconds = 0.0
    for windows in _windows_by_rate(plan):
        with open_sound(file) as sound:
            yield from _window_chunks(sound, windows)
            damage, seconds = sound.damage, sound.seconds_read
    yield _item_decoded(replace(info, duration_seconds=seconds), damage)


def _decode_video(file: BinaryIO, plan: DecodePlan, info: MediaInfo) -> Iterator[DecodeEvent]:
    with open_video(file) as video:
        if plan.frames:
            yield from _frame_chunks(video, plan)
        info = replace(
            info, width=video.width, height=video.height, duration_seconds=video.duration_seconds
        )
        damages, has_sound = [video.damage], video.has_sound
    if has_sound and plan.sound_of_videos:
        for windows in _windows_by_rate(plan):
            try:
                with open_sound(file) as sound:
                    yield from _window_chunks(sound, windows)
                    damages.append(sound.damage)
                    if not plan.frames:
                        info = replace(info, duration_seconds=sound.seconds_read)
            except Exception as error:
                if not plan.frames:
                    raise
                # Keep the frames, which are good.
                notes = [f"sound left out: {format_error(error)}"]
                damages.append(Damage(packets=1, notes=notes))
    yield _item_decoded(info, *damages)


def _frame_chunks(video: VideoReader, plan: DecodePlan) -> Iterator[DecodedChunk]:
    times: list[float] = []
    fitted: dict[str, list[NDArray[np.uint8]]] = {space: [] for space in plan.frames}
    last_image: Image.Image | None = None
    latest: dict[str, NDArray[np.uint8]] = {}
    for seconds, image in video.sample(plan.sampling.frames_per_second):
        times.append(seconds)
        if image is not last_image:  # a repeated frame is fitted once
            last_image = image
            # Fit immediately: the unscaled frames of a chunk would take hundreds of megabytes.
            latest = {space: fit(image, geometry) for space, geometry in plan.frames.items()}
        for space, pixels in latest.items():
            fitted[space].append(pixels)
        if len(times) == FRAMES_PER_CHUNK:
            yield from _take_frames(times, fitted)
    if times:
        yield from _take_frames(times, fitted)


def _take_frames(
    times: list[float], fitted: dict[str, list[NDArray[np.uint8]]]
) -> Iterator[DecodedChunk]:
    """Yield one chunk per space and clear the lists."""
    start_seconds = np.array(times, np.float64)
    for space, frames in fitted.items():
        yield DecodedChunk(space, Medium.VIDEO, np.stack(frames), start_seconds=start_seconds)
        frames.clear()
    times.clear()


def _windows_by_rate(plan: DecodePlan) -> list[dict[str, AudioWindows]]:
    """Group the spaces of sound by sample rate: each rate is decoded and resampled once."""
    groups: dict[int, dict[str, AudioWindows]] = {}
    for space, windows in plan.audio.items():
        groups.setdefault(windows.sample_rate_hz, {})[space] = windows
    return list(groups.values())


def _window_chunks(
    sound: SoundReader, windows: Mapping[str, AudioWindows]
) -> Iterator[DecodedChunk]:
    """Cut one pass over a recording into the windows of all spaces of one sample rate."""
    rate = next(iter(windows.values())).sample_rate_hz
    streams = tee(sound.pieces(rate), len(windows))
    chunks = (
        _chunks_of_space(space, cut_windows(pieces, windows[space]))
        for space, pieces in zip(windows, streams, strict=True)
    )
    # The space that is furthest behind reads next, so that little sound is held for the others.
    yield from heapq.merge(*chunks, key=_chunk_end)


def _chunk_end(chunk: DecodedChunk) -> float:
    assert chunk.end_seconds is not None  # windows have times
    return float(chunk.end_seconds[-1])


def _chunks_of_space(space: str, windows: Iterator[AudioWindow]) -> Iterator[DecodedChunk]:
    while group := list(islice(windows, WINDOWS_PER_CHUNK)):
        yield _window_chunk(space, group)


def _window_chunk(space: str, windows: list[AudioWindow]) -> DecodedChunk:
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
